package publisherd

import (
	"context"

	"apocryph/p2p/oci"
	"apocryph/p2p/seal"
	"apocryph/publisher"
)

// sealer makes a [publisher.Sealer] of one that the provider shares.
type sealer struct{ *seal.Sealer }

var _ publisher.Sealer = sealer{}

// Seal encrypts an image, see [seal.Sealer.Seal].
func (s sealer) Seal(ctx context.Context, img *publisher.Image, report func(done, total int64)) (*publisher.SealedImage, error) {
	plain := &oci.Image{Source: img.Source, Config: img.Config, ConfigMediaType: img.ConfigMediaType, Annotations: img.Annotations}
	for _, l := range img.Layers {
		plain.Layers = append(plain.Layers, oci.Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Open: l.Open})
	}
	sealed, err := s.Sealer.Seal(ctx, plain, report)
	if err != nil {
		return nil, err
	}
	out := &publisher.SealedImage{
		Manifest: sealed.Manifest, Config: sealed.Config, Image: sealed.Image, Key: sealed.Key, ReusedBytes: sealed.ReusedBytes,
	}
	for _, l := range sealed.Layers {
		out.Layers = append(out.Layers, publisher.Blob(l))
	}
	return out, nil
}
