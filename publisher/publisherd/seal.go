package publisherd

import (
	"context"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/p2p/seal"
	"apocryph/publisher"
)

// sealer makes a [publisher.Sealer] of one that the provider shares.
type sealer struct{ *seal.Sealer }

var _ publisher.Sealer = sealer{}

// Seal encrypts an image, see [seal.Sealer.Seal].
func (s sealer) Seal(ctx context.Context, img *publisher.Image, report func(done, total int64)) (*manifest.Sealed, error) {
	plain := &oci.Image{Source: img.Source, Config: img.Config, ConfigMediaType: img.ConfigMediaType, Annotations: img.Annotations}
	for _, l := range img.Layers {
		plain.Layers = append(plain.Layers, oci.Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Open: l.Open})
	}
	return s.Sealer.Seal(ctx, plain, report)
}
