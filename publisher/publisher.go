package publisher

import (
	"context"
	"io"

	"apocryph/manifest"
)

// Image is a resolved image, still plain. Its manifest and config bytes have
// been checked against their digests.
type Image struct {
	// Source is the reference it was resolved from.
	Source string
	// Config is the exact bytes of the image configuration; its digest is the image id.
	Config          []byte
	ConfigMediaType string
	Layers          []Layer
	// Annotations are those of the image's manifest.
	Annotations map[string]string
}

// Layer is one layer of a resolved image.
type Layer struct {
	MediaType string
	// Digest is of the bytes that Open returns, "sha256:...".
	Digest string
	Size   int64
	// Open returns the layer's bytes as they are in the image, compressed or not.
	// Who reads them to the end must check the digest.
	Open func(context.Context) (io.ReadCloser, error)
}

// Resolver turns a manifest's image reference into an image for a platform
// such as "linux/amd64". Relative paths are relative to dir.
type Resolver interface {
	Resolve(ctx context.Context, ref, dir, platform string) (*Image, error)
}

// Sealer encrypts an image. Report is called with bytes done and total.
type Sealer interface {
	Seal(ctx context.Context, img *Image, report func(done, total int64)) (*manifest.Sealed, error)
}
