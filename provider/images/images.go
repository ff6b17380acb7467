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
// both against what the request pins, and starts to bring all layers, the first
// ones first. They go on arriving until ctx ends or
// the image is closed, which every image must be.
func (i *Images) Fetch(ctx context.Context, owner provider.InstanceID, req provider.ImageRequest, report func(provider.Progress)) (*provider.Image, error) {
	root, err := cid.Decode(req.CID)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.cid", "%.80q is no CID", req.CID)
	}
	// Nobody but its publisher may have it, and nobody else need learn of it.
	from := content.Origin{Root: root}
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
	var blobs []*content.Blob
	closeAll := func() {
		for _, b := range blobs {
			_ = b.Close()
		}
	}
	// All sizes are known before the first report.
	var reports []func(content.Progress)
	for _, l := range remote.Layers {
		reports = append(reports, total.layer(uint64(l.Size)))
	}
	for n, l := range remote.Layers {
		b, err := l.Fetch(ctx, reports[n])
		if err != nil {
			closeAll()
			return nil, err
		}
		blobs = append(blobs, b)
		img.Layers = append(img.Layers, provider.Layer{
			MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations,
			Open: func(context.Context) (provider.ReadAtCloser, error) { return shared{b}, nil },
		})
	}
	img.Close = closeAll
	img.Wait = func(ctx context.Context) error {
		for _, b := range blobs {
			if err := b.Wait(ctx); err != nil {
				return fmt.Errorf("fetching layer %s: %w", b.Digest(), err)
			}
		}
		return nil
	}
	return img, nil
}

// shared is a blob that ends with its fetch and not with who reads it.
type shared struct{ *content.Blob }

// Close leaves the blob to whoever else reads it.
func (shared) Close() error { return nil }

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

// Owners lists those who have pins.
func (i *Images) Owners(context.Context) ([]provider.InstanceID, error) {
	var out []provider.InstanceID
	for _, owner := range i.store.Owners() {
		out = append(out, provider.InstanceID(owner))
	}
	return out, nil
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

	mu     sync.Mutex // guards what layers holds
	layers []content.Progress
	sum    uint64
}

// layer counts one more layer in; all are counted before the first reports.
func (t *tally) layer(size uint64) func(content.Progress) {
	n := len(t.layers)
	t.layers = append(t.layers, content.Progress{Total: size})
	t.sum += size
	return func(p content.Progress) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.layers[n].Done, t.layers[n].Rate = p.Done, p.Rate
		out := provider.Progress{Stage: provider.StageFetching, Total: t.sum, Source: p.Source}
		for _, l := range t.layers {
			out.Done += l.Done
			if l.Done < l.Total {
				out.Rate += l.Rate
			}
		}
		t.report(out)
	}
}
