package ipdr

import (
	"context"
	"fmt"

	"apocryph/p2p/content"
	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// Remote is an image whose manifest and configuration are here and whose layers
// can be brought.
type Remote struct {
	// Manifest and Config are the exact bytes, checked against their digests.
	Manifest, Config []byte
	// Digest is the manifest's.
	Digest string
	// MediaType is the manifest's.
	MediaType string
	Layers    []Layer
}

// Layer is one layer of an image that may still be elsewhere.
type Layer struct {
	Descriptor
	// CID is the top of the layer's DAG.
	CID cid.Cid

	s    *content.Store
	from content.Origin
}

// Fetch starts to bring the layer and returns at once, see
// [content.Store.FetchBlob]. Report may be nil.
func (l Layer) Fetch(ctx context.Context, report func(content.Progress)) (*content.Blob, error) {
	return l.s.FetchBlob(ctx, content.BlobRequest{
		Origin: l.from, CID: l.CID, Digest: l.Digest, Size: l.Size, Report: report,
	})
}

// Open brings the directory, manifest and configuration of an image. With
// wantDigest it must have that manifest, otherwise the one that its index.json
// names. What does not fit its digest or its size is untrusted.
func Open(ctx context.Context, s *content.Store, from content.Origin, wantDigest string) (*Remote, error) {
	r, err := open(ctx, s, from, wantDigest)
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", from.Root, err)
	}
	return r, nil
}

func open(ctx context.Context, s *content.Store, from content.Origin, wantDigest string) (*Remote, error) {
	if _, ok := hexOf(wantDigest); !ok && wantDigest != "" {
		return nil, status.New(status.InvalidArgument, "image.digest", "the digest %.80q is not sha256: and 64 hex digits", wantDigest)
	}
	if err := s.FetchTree(ctx, from); err != nil {
		return nil, err
	}
	t, err := readTree(ctx, s, from.Root)
	if err != nil {
		return nil, err
	}
	desc := Descriptor{Digest: wantDigest, Size: -1}
	if wantDigest == "" {
		if desc, err = indexed(ctx, s, from, t); err != nil {
			return nil, err
		}
	}
	node, err := t.blob(desc.Digest)
	if err != nil {
		return nil, err
	}
	r := &Remote{Digest: desc.Digest}
	if r.Manifest, err = fetchChecked(ctx, s, from, node, desc, "manifest", maxManifest); err != nil {
		return nil, err
	}
	m, err := parseManifest(r.Manifest)
	if err != nil {
		return nil, err
	}
	if r.MediaType = m.MediaType; r.MediaType == "" {
		r.MediaType = ociManifest
	}
	if node, err = t.blob(m.Config.Digest); err != nil {
		return nil, err
	}
	if r.Config, err = fetchChecked(ctx, s, from, node, m.Config, "configuration", maxConfig); err != nil {
		return nil, err
	}
	for _, d := range m.Layers {
		node, err := t.blob(d.Digest)
		if err != nil {
			return nil, err
		}
		if node.Size != d.Size {
			return nil, status.New(status.Untrusted, "image.size", "layer %s has %d bytes, its manifest says %d", d.Digest, node.Size, d.Size)
		}
		r.Layers = append(r.Layers, Layer{Descriptor: d, CID: node.CID, s: s, from: from})
	}
	return r, nil
}

// fetchChecked brings a small part and holds it against its descriptor.
func fetchChecked(ctx context.Context, s *content.Store, from content.Origin, n content.Node, d Descriptor, what string, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, tooBig(what, d.Size, limit)
	}
	b, err := s.FetchBytes(ctx, from, n.CID, limit)
	if err != nil {
		return nil, err
	}
	if got := digestOf(b); got != d.Digest || (d.Size >= 0 && d.Size != int64(len(b))) {
		return nil, status.New(status.Untrusted, "image.digest", "the %s hashes to %s with %d bytes, want %s with %d", what, got, len(b), d.Digest, d.Size)
	}
	return b, nil
}

// indexed is the one manifest that index.json names.
func indexed(ctx context.Context, s *content.Store, from content.Origin, t *names) (Descriptor, error) {
	n, ok := t.root["index.json"]
	if !ok {
		return Descriptor{}, status.New(status.NotFound, "image.index", "the directory has no index.json")
	}
	b, err := s.FetchBytes(ctx, from, n.CID, maxIndex)
	if err != nil {
		return Descriptor{}, err
	}
	return parseIndex(b)
}

func parseIndex(b []byte) (Descriptor, error) {
	var x index
	if err := strictJSON(b, &x); err != nil {
		return Descriptor{}, status.Wrap(err, status.InvalidArgument, "image.index", "index.json is not valid JSON")
	}
	if len(x.Manifests) != 1 {
		return Descriptor{}, status.New(status.InvalidArgument, "image.index", "index.json names %d manifests, want 1", len(x.Manifests)).
			WithHint("name the digest of the manifest")
	}
	d := x.Manifests[0]
	if _, ok := hexOf(d.Digest); !ok || d.Size < 0 || d.Size > maxManifest {
		return Descriptor{}, status.New(status.InvalidArgument, "image.index", "index.json names a manifest with digest %.80q and %d bytes", d.Digest, d.Size)
	}
	return d, nil
}
