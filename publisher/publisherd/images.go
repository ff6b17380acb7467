package publisherd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/images"
)

// Images are the images that this publisher seals and serves.
type Images struct {
	store    *content.Store
	sealer   publisher.Sealer
	resolver *images.Resolver
}

// Seal resolves and encrypts one image.
func (i *Images) Seal(ctx context.Context, ref, dir, platform string, report func(done, total int64)) (*manifest.Sealed, error) {
	img, err := i.resolver.Resolve(ctx, ref, dir, platform)
	if err != nil {
		return nil, err
	}
	return i.sealer.Seal(ctx, img, report)
}

// Publish makes the image's directory and keeps it, under its own CID.
func (i *Images) Publish(ctx context.Context, img *manifest.Sealed, report func(done, total int64)) (string, error) {
	root, err := ipdr.Build(ctx, i.store, ipdr.Image{Manifest: img.Manifest, Config: img.Config, Layers: img.Layers, Report: report})
	if err != nil {
		return "", err
	}
	return root.String(), i.store.Pin(ctx, root, imageOwner+root.String())
}

// Pins of images that apps have, which end with the app, and of images that
// were published for themselves, which do not.
const (
	imageOwner     = "image:"
	publishedOwner = "published:"
)

// Keep keeps an image that no app has.
func (i *Images) Keep(ctx context.Context, root string) error {
	c, err := cid.Decode(root)
	if err != nil {
		return err
	}
	return i.store.Pin(ctx, c, publishedOwner+root)
}

// tidy removes the images of earlier revisions and of deleted apps. What is
// younger than an hour stays: another attempt may use it.
func (i *Images) tidy(ctx context.Context, apps []publisher.App) error {
	inUse := map[string]bool{}
	for _, a := range apps {
		for _, img := range a.Images {
			inUse[img.CID] = true
		}
	}
	for _, owner := range i.store.Owners() {
		if root, ok := strings.CutPrefix(owner, imageOwner); ok && !inUse[root] {
			if err := i.store.Unpin(ctx, owner); err != nil {
				return err
			}
		}
	}
	_, err := i.store.GC(ctx)
	return err
}

// Grant lets one provider read an image.
func (i *Images) Grant(_ context.Context, root string, to publisher.ProviderID) error {
	c, err := cid.Decode(root)
	if err != nil {
		return err
	}
	id, err := peer.Decode(string(to))
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "provider.id", "%.80q is no peer id", to)
	}
	return i.store.Grant(c, id)
}

// MakePublic lets everybody read an image and announces it.
func (i *Images) MakePublic(ctx context.Context, root string) error {
	c, err := cid.Decode(root)
	if err != nil {
		return err
	}
	if err := i.store.SetPublic(c, true); err != nil {
		return err
	}
	return i.store.Announce(ctx, c)
}

// configMediaType is OCI's; images on IPFS are OCI images.
const configMediaType = "application/vnd.oci.image.config.v1+json"

// Fetch brings an image that is on IPFS already, for "ipfs:CID" references.
func (i *Images) Fetch(ctx context.Context, root string) (*publisher.Image, error) {
	c, err := cid.Decode(root)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.cid", "%.80q is no CID", root)
	}
	remote, err := ipdr.Open(ctx, i.store, content.Origin{Root: c, Anyone: true}, "")
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", c, err)
	}
	img := &publisher.Image{Source: "ipfs:" + root, Config: remote.Config, ConfigMediaType: configMediaType}
	for _, l := range remote.Layers {
		img.Layers = append(img.Layers, publisher.Layer{
			MediaType: l.MediaType, Digest: l.Digest, Size: l.Size,
			Open: func(ctx context.Context) (io.ReadCloser, error) {
				b, err := l.Fetch(ctx, nil)
				if err != nil {
					return nil, err
				}
				return struct {
					io.Reader
					io.Closer
				}{io.NewSectionReader(b, 0, b.Size()), b}, nil
			},
		})
	}
	return img, nil
}
