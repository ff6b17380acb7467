package seal

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"

	"golang.org/x/sync/errgroup"
)

// parallel is how many layers are encrypted at a time: more only makes the disk seek.
const parallel = 2

// Cache remembers encrypted layers. Values are secret: they have layer keys.
// It is used by several goroutines.
type Cache interface {
	// Get returns nil for an unknown key.
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
	// Sweep calls keep for each entry and removes those for which it is false.
	Sweep(keep func(key string, value []byte) bool) error
}

// Guard keeps processes that share a Dir from removing each other's files.
type Guard interface {
	// Share waits until nobody is exclusive. Several may share.
	Share(ctx context.Context) (release func(), err error)
	// Exclusive does not wait: ok is false while anybody shares.
	Exclusive() (release func(), ok bool, err error)
}

// Index reads a blob along while it is written, so that adding it to a store
// does not read it again.
type Index interface {
	io.Writer
	// Commit is called once the blob is durable under its path.
	Commit(ctx context.Context, path, digest string) error
}

// none is the index of nobody.
type none struct{ io.Writer }

func (none) Commit(context.Context, string, string) error { return nil }

// Config of a [Sealer].
type Config struct {
	// Dir has the temporary files; it must be on the file system of the blobs.
	Dir string
	// BlobPath says where the blob of a digest "sha256:HEX" lives; nil means
	// Dir/blobs/sha256/HEX.
	BlobPath func(digest string) string
	// Index is asked for each blob that is written; nil means that nobody reads along.
	Index func() Index
	// Cache is where reuse comes from; nil encrypts everything each time.
	Cache Cache
	// Guard may be nil where no other process uses Dir.
	Guard  Guard
	Now    func() time.Time
	Logger *slog.Logger
}

// Sealer encrypts images. It is used by several goroutines.
type Sealer struct {
	cfg    Config
	create func(dir string) (file, error)
}

// New returns a Sealer; it touches no file yet.
func New(cfg Config) (*Sealer, error) {
	if cfg.Dir == "" {
		return nil, status.New(status.InvalidArgument, "seal.config", "dir: got nothing, want a directory")
	}
	if cfg.BlobPath == nil {
		dir := cfg.Dir
		cfg.BlobPath = func(digest string) string {
			return filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
		}
	}
	if cfg.Index == nil {
		cfg.Index = func() Index { return none{io.Discard} }
	}
	if cfg.Guard == nil {
		cfg.Guard = new(local)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sealer{cfg: cfg, create: createTemp}, nil
}

// local is the guard of a single process.
type local struct{ mu sync.RWMutex }

func (l *local) Share(context.Context) (func(), error) {
	l.mu.RLock()
	return l.mu.RUnlock, nil
}

func (l *local) Exclusive() (func(), bool, error) {
	if !l.mu.TryLock() {
		return nil, false, nil
	}
	return l.mu.Unlock, true, nil
}

// Seal encrypts the layers of img for a new key. Report, which may be nil, is
// called from one goroutine at a time with bytes of plain layers done and in
// all; reused ones count as done. Errors: invalid_argument for an image that
// cannot be sealed or whose layer is not what its digest says,
// resource_exhausted when the disk is full.
func (s *Sealer) Seal(ctx context.Context, img *oci.Image, report func(done, total int64)) (*manifest.Sealed, error) {
	if err := check(img); err != nil {
		return nil, err
	}
	if err := s.clean(); err != nil {
		return nil, err
	}
	release, err := s.cfg.Guard.Share(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	entries, reused, err := s.layers(ctx, img, report)
	if err != nil {
		return nil, err
	}
	sealed := &oci.Image{Config: img.Config, Annotations: withoutEncryption(img.Annotations)}
	out := &manifest.Sealed{
		Config: img.Config,
		Image:  manifest.Image{Ref: img.Source, ImageID: sealed.ID(), KeyID: key.id},
		Key:    key.pkcs8, ReusedBytes: reused,
	}
	for i, l := range img.Layers {
		e := entries[cacheKey(l)]
		annotations, err := key.wrap(e)
		if err != nil {
			return nil, err
		}
		sealed.Layers = append(sealed.Layers, oci.Layer{
			MediaType: img.Layers[i].MediaType + oci.EncryptedSuffix, Digest: e.Digest, Size: e.Size, Annotations: annotations,
		})
		out.Layers = append(out.Layers, manifest.Blob{Digest: e.Digest, Size: e.Size, Path: s.cfg.BlobPath(e.Digest)})
	}
	if out.Manifest, err = sealed.Manifest(); err != nil {
		return nil, err
	}
	out.Image.EncryptedDigest = digestOf(out.Manifest)
	return out, nil
}

// layers encrypts each different layer of img once, or finds it in the cache.
func (s *Sealer) layers(ctx context.Context, img *oci.Image, report func(done, total int64)) (map[string]entry, int64, error) {
	var (
		mu          sync.Mutex
		done, total int64
		reused      int64
		entries     = make(map[string]entry)
		work        []oci.Layer
	)
	advance := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		if done += n; report != nil {
			report(done, total)
		}
	}
	for _, l := range img.Layers {
		if _, ok := entries[cacheKey(l)]; ok {
			continue
		}
		entries[cacheKey(l)] = entry{}
		work = append(work, l)
		total += l.Size
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, l := range work {
		group.Go(func() error {
			e, ok := s.reuse(gctx, l)
			if ok {
				advance(l.Size)
			} else {
				var err error
				if e, err = s.encrypt(gctx, l, img.Source, advance); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			entries[cacheKey(l)] = e
			if ok {
				reused += e.Size
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	return entries, reused, nil
}
