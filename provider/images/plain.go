package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// Plain finds an image that anybody may have, such as a base image, by the CID of
// its directory (package ipdr). Its layers are brought when they are opened, from whoever
// has them, and are held to their digests. One for another platform is invalid_argument.
func Plain(ctx context.Context, s *content.Store, root cid.Cid, p oci.Platform) (*oci.Image, error) {
	remote, err := ipdr.Open(ctx, s, content.Origin{Root: root, Anyone: true}, "")
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	var c ocispec.Image
	if err := json.Unmarshal(remote.Manifest, &m); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.manifest", "the manifest of %s is not valid JSON", root)
	}
	if err := json.Unmarshal(remote.Config, &c); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "image.config", "the configuration of %s is not valid JSON", root)
	}
	if c.OS != p.OS || c.Architecture != p.Architecture {
		return nil, status.New(status.InvalidArgument, "image.platform", "%s is for %.40q, want %s", root, c.OS+"/"+c.Architecture, p)
	}
	img := &oci.Image{
		Source: "ipfs:" + root.String(), Digest: remote.Digest, Platform: p, Config: remote.Config, ConfigMediaType: m.Config.MediaType,
		Annotations: m.Annotations,
	}
	for _, l := range remote.Layers {
		img.Layers = append(img.Layers, oci.Layer{
			MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations,
			Open: func(ctx context.Context) (io.ReadCloser, error) {
				blob, err := l.Fetch(ctx, nil)
				if err != nil {
					return nil, fmt.Errorf("fetching layer %s: %w", l.Digest, err)
				}
				return &stream{io.NewSectionReader(blob, 0, l.Size), blob}, nil
			},
		})
	}
	return img, nil
}

// stream reads a blob, whose last bytes are given out when its digest was checked.
type stream struct {
	io.Reader
	blob *content.Blob
}

// Verifies is the digest that the bytes are held to.
func (s *stream) Verifies() string { return s.blob.Digest() }

// Close implements [io.Closer].
func (s *stream) Close() error { return s.blob.Close() }
