package images

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/p2p/seal"
	"apocryph/proto/status"
	"apocryph/provider"
)

// ImporterConfig is what an [Importer] needs; Store and Dir are required.
type ImporterConfig struct {
	Store *content.Store
	// Dir is the content store's directory: layers are encrypted beside its blobs.
	Dir string
	// Cache remembers encrypted layers. Its values have layer keys, so that it
	// must keep them sealed; nil encrypts each layer each time.
	Cache  seal.Cache
	Now    func() time.Time
	Logger *slog.Logger
}

// Importer takes plain images that were uploaded to this provider. It does what
// a publisher does before a deploy, so that an upload ends in the same encrypted
// image in the same store. It is used by several goroutines.
type Importer struct {
	store  *content.Store
	sealer *seal.Sealer
}

// NewImporter returns an Importer; it touches no file yet.
func NewImporter(cfg ImporterConfig) (*Importer, error) {
	if cfg.Store == nil {
		return nil, status.New(status.InvalidArgument, "import.config", "store: got nothing, want a content store")
	}
	sealer, err := seal.New(seal.Config{
		Dir: cfg.Dir, BlobPath: cfg.Store.BlobPath, Index: func() seal.Index { return cfg.Store.Indexer() },
		Cache: cfg.Cache, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &Importer{store: cfg.Store, sealer: sealer}, nil
}

// importTries is how often an image is sealed when garbage collection removes
// a layer that it was to use again, between finding and adding it.
const importTries = 3

// Import encrypts a plain image for a new key, keeps it in the content store and
// pins it for owner. Nobody is granted it and it is announced to nobody. It
// returns what a manifest says of the image, and the private key, PKCS #8 DER.
// Report, which may be nil, is told bytes of plain layers. Errors are those of
// [seal.Sealer.Seal].
func (i *Importer) Import(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64)) (manifest.Image, []byte, error) {
	return i.ImportReferred(ctx, img, owner, report, nil)
}

// ImportReferred is [Importer.Import] with documents about the image, which are
// kept in the image's directory and change its CID. Their own CIDs are set in about.
func (i *Importer) ImportReferred(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64), about []ipdr.Referrer) (manifest.Image, []byte, error) {
	if owner == "" {
		return manifest.Image{}, nil, status.New(status.InvalidArgument, "import.owner", "owner: got nothing, want who needs the image")
	}
	for try := 1; ; try++ {
		sealed, err := i.sealer.Seal(ctx, img, report)
		if err != nil {
			return manifest.Image{}, nil, err
		}
		out, err := i.keep(ctx, sealed, owner, about)
		if err == nil {
			return out, sealed.Key, nil
		}
		if try == importTries || !missing(sealed) {
			return manifest.Image{}, nil, err
		}
	}
}

// keep makes the image's directory and pins it. What it is made of stays for
// an hour without a pin, so that nothing is lost in between.
func (i *Importer) keep(ctx context.Context, sealed *manifest.Sealed, owner provider.InstanceID, about []ipdr.Referrer) (manifest.Image, error) {
	root, err := ipdr.Build(ctx, i.store, ipdr.Image{Manifest: sealed.Manifest, Config: sealed.Config, Layers: sealed.Layers, Referrers: about})
	if err != nil {
		return manifest.Image{}, fmt.Errorf("keeping image: %w", err)
	}
	if err := i.store.Pin(ctx, root, string(owner)); err != nil {
		return manifest.Image{}, fmt.Errorf("pinning %s: %w", root, err)
	}
	out := sealed.Image
	out.Ref, out.CID = "", root.String()
	return out, nil
}

// missing reports whether a layer went away after it was found.
func missing(sealed *manifest.Sealed) bool {
	for _, l := range sealed.Layers {
		if _, err := os.Stat(l.Path); err != nil {
			return true
		}
	}
	return false
}

// Prune forgets encrypted layers that the content store has no more. What it
// has, its own garbage collection bounds. It returns a conflict while an image
// is being imported.
func (i *Importer) Prune(ctx context.Context) error {
	_, err := i.sealer.Prune(ctx, func(digest string) bool {
		_, err := os.Stat(i.store.BlobPath(digest))
		return err == nil
	}, 0)
	return err
}
