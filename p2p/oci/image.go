package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"

	"apocryph/proto/status"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Caps on what a stranger's image may make us hold or read.
const (
	// MaxManifest is the most bytes of an index or manifest, as in most registries:
	// a manifest is held in memory.
	MaxManifest = 4 << 20
	// MaxConfig is the most bytes of an image configuration, which is held in memory too.
	MaxConfig = 8 << 20
	// MaxLayers is the most layers of an image; overlayfs mounts about as many, and each costs a file.
	MaxLayers = 128
	// MaxLayerSize is the most bytes of one layer: an endless layer would fill the disk.
	MaxLayerSize = 64 << 30
	// MaxImageSize is the most bytes of all layers of an image together.
	MaxImageSize = 128 << 30
)

// Image is one platform's image. Its manifest and configuration have been
// checked against their digests.
type Image struct {
	// Source is the reference that it was read from, for error texts.
	Source string
	// Digest is that of the image's manifest; empty for a docker archive, which has none.
	Digest   string
	Platform Platform
	// Config is the exact bytes of the configuration, at most [MaxConfig].
	Config          []byte
	ConfigMediaType string
	// Layers are the layers, the lowest first.
	Layers []Layer
	// Annotations are those of the manifest.
	Annotations map[string]string
}

// ID is the image id: the digest of the configuration.
func (i *Image) ID() string { return digestOf(i.Config) }

// Layer is one layer of an image.
type Layer struct {
	// MediaType is an OCI media type; docker's are translated.
	MediaType string
	// Digest is "sha256:..." of the bytes that Open returns, Size their number.
	Digest string
	Size   int64
	// Annotations are those of the layer's descriptor, such as those of its encryption.
	Annotations map[string]string
	// Open returns the layer's bytes as they are in the image, compressed or not.
	// The reader fails instead of ending when size or digest differ. It has a
	// method Verifies() string that returns the digest it holds its bytes to. The
	// context must live until the reader is closed.
	Open func(context.Context) (io.ReadCloser, error)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// configFacts is what has to be known of a configuration.
type configFacts struct {
	Platform Platform
	// DiffIDs are the digests of the uncompressed layers.
	DiffIDs []string
}

// parseConfig reads an image configuration (OCI image spec 1.1, config.md).
func parseConfig(data []byte, where string) (configFacts, error) {
	var c ocispec.Image
	if err := json.Unmarshal(data, &c); err != nil {
		return configFacts{}, status.Wrap(err, status.InvalidArgument, "image.config", "the image configuration in %s is not valid JSON", where)
	}
	f := configFacts{Platform: Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}.normal()}
	if len(c.RootFS.DiffIDs) > MaxLayers {
		return configFacts{}, tooManyLayers(where, len(c.RootFS.DiffIDs))
	}
	for _, d := range c.RootFS.DiffIDs {
		f.DiffIDs = append(f.DiffIDs, d.String())
	}
	return f, nil
}

func tooManyLayers(where string, n int) error {
	return status.New(status.InvalidArgument, "image.layers", "the image in %s has %d layers, want at most %d", where, n, MaxLayers).
		WithHint("join layers of the image, for instance with a multi-stage build")
}
