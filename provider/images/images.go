package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Images is a [provider.Images] on the embedded IPFS node.
type Images struct {
	store *content.Store
}

var _ provider.Images = (*Images)(nil)

// New keeps images in a content store, which the caller runs.
func New(store *content.Store) *Images { return &Images{store: store} }

// Fetch pins an image for owner, brings its manifest and configuration, checks
// both against what the request pins, and starts to bring the layers.
func (i *Images) Fetch(ctx context.Context, owner provider.InstanceID, req provider.ImageRequest, report func(provider.Progress)) (*provider.Image, error) {
	root, err := cid.Decode(req.CID)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.cid", "%.80q is no CID", req.CID)
	}
	from := content.Origin{Root: root, Anyone: true}
	if id, err := peer.Decode(string(req.Peer)); err == nil {
		from.From = []peer.ID{id}
	}
	if err := i.pin(ctx, root, owner); err != nil {
		return nil, err
	}
	remote, err := ipdr.Open(ctx, i.store, from, req.EncryptedDigest)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(remote.Config)
	if id := "sha256:" + hex.EncodeToString(sum[:]); id != req.ImageID {
		return nil, status.New(status.Untrusted, "image.id", "the image at %s has the id %s, the manifest pins %s", req.CID, id, req.ImageID)
	}
	img := &provider.Image{Manifest: remote.Manifest, Config: remote.Config}
	total := &tally{report: report}
	for _, l := range remote.Layers {
		img.Layers = append(img.Layers, i.layer(l, total.layer(l.Size)))
	}
	return img, nil
}

// layer is a layer that is brought when it is opened.
func (i *Images) layer(l ipdr.Layer, report func(content.Progress)) provider.Layer {
	return provider.Layer{
		MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations,
		Open: func(ctx context.Context) (provider.ReadAtCloser, error) {
			b, err := l.Fetch(ctx, report)
			if err != nil {
				return nil, err
			}
			return b, nil
		},
	}
}

// Release gives up an owner's pins and removes what nobody needs any more.
func (i *Images) Release(ctx context.Context, owner provider.InstanceID) error {
	if err := i.store.Unpin(ctx, string(owner)); err != nil {
		return fmt.Errorf("releasing images of %s: %w", owner, err)
	}
	if _, err := i.store.GC(ctx); err != nil {
		return fmt.Errorf("collecting garbage: %w", err)
	}
	return nil
}

func (i *Images) pin(ctx context.Context, root cid.Cid, owner provider.InstanceID) error {
	if err := i.store.Pin(ctx, root, string(owner)); err != nil {
		return fmt.Errorf("pinning %s: %w", root, err)
	}
	return nil
}

// tally adds up the progress of layers that arrive side by side.
type tally struct {
	report func(provider.Progress)

	mu   sync.Mutex // guards all below
	done []uint64
	rate []uint64
	sum  uint64
}

// layer counts one more layer in.
func (t *tally) layer(size int64) func(content.Progress) {
	n := len(t.done)
	t.done, t.rate = append(t.done, 0), append(t.rate, 0)
	t.sum += uint64(size)
	return func(p content.Progress) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.done[n], t.rate[n] = p.Done, p.Rate
		out := provider.Progress{Stage: provider.StageFetching, Total: t.sum, Source: string(p.Source)}
		for i := range t.done {
			out.Done += t.done[i]
			if t.done[i] < t.sum {
				out.Rate += t.rate[i]
			}
		}
		t.report(out)
	}
}
