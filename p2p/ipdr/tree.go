package ipdr

import (
	"context"

	"apocryph/p2p/content"
	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// names is the directory of an image, by name. Nothing in it is trusted: a name
// with a digest is where the bytes may be, not that they have it.
type names struct {
	root, manifests, blobs, sha map[string]content.Node
}

func readTree(ctx context.Context, s *content.Store, root cid.Cid) (*names, error) {
	t := &names{}
	list := func(c cid.Cid) (map[string]content.Node, error) {
		es, err := s.List(ctx, c)
		if err != nil {
			return nil, err
		}
		m := make(map[string]content.Node, len(es))
		for _, e := range es {
			m[e.Name] = e.Node
		}
		return m, nil
	}
	var err error
	if t.root, err = list(root); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		in   *map[string]content.Node
		name string
		to   *map[string]content.Node
	}{{&t.root, "manifests", &t.manifests}, {&t.root, "blobs", &t.blobs}, {&t.blobs, "sha256", &t.sha}} {
		n, ok := (*d.in)[d.name]
		if !ok || !n.Dir {
			continue // an ipdr tree without a layout, or the reverse
		}
		if *d.to, err = list(n.CID); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// blob finds a manifest, configuration or layer by digest.
func (t *names) blob(digest string) (content.Node, error) {
	hex, _ := hexOf(digest)
	for _, try := range []struct {
		in   map[string]content.Node
		name string
	}{{t.sha, hex}, {t.blobs, digest}, {t.manifests, digest}} {
		if n, ok := try.in[try.name]; ok && !n.Dir {
			return n, nil
		}
	}
	return content.Node{}, status.New(status.NotFound, "image.blob", "the image's directory has no blob %s", digest)
}
