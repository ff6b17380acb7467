package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	flatfs "github.com/ipfs/go-ds-flatfs"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"golang.org/x/sync/semaphore"
)

// Config is what a store needs. Dir is required, and Host for everything that
// talks to peers.
type Config struct {
	// Dir holds blocks, blobs, pins and grants. It is made with mode 0700. One
	// process may use it at a time.
	Dir string
	// Roots are further directories, besides Dir's own blobs, below which files
	// may stay when they are added.
	Roots []string
	// Host serves and fetches. It is not closed by the store. With a nil Host
	// the store is local.
	Host host.Host
	// Routing announces public roots and finds who has content; may be nil.
	Routing routing.ContentRouting
	Logger  *slog.Logger
	// Sync makes each block survive a power cut, not only a crash of the process.
	// Blobs, pins and grants always do.
	Sync bool
	// MaxBlob bounds the size of one fetched blob in bytes; 0 means 64 GiB. A
	// stranger's manifest could otherwise fill the disk with one layer.
	MaxBlob int64
	// AnnounceEvery is how often public roots are announced again; 0 means 12 hours.
	AnnounceEvery time.Duration
}

const (
	defaultMaxBlob       = 64 << 30
	defaultAnnounceEvery = 12 * time.Hour
)

// Store keeps, serves and fetches content. Its methods may be called from many
// goroutines, before, during and after [Store.Run].
type Store struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	flat   *flatfs.Datastore
	blocks blockstore.Blockstore
	files  *fileIndex
	access *access
	// create opens the file that a fetch fills; tests make it fail.
	create func(path string) (blobFile, error)
	// idle and slow are idleTime and writeTime, but in tests.
	idle, slow time.Duration
	// onSection is called before each section is sent, for tests; may be nil.
	onSection func(size int)

	// sweep is held to read by whoever adds, and to write by GC.
	sweep sync.RWMutex

	mu    sync.Mutex
	pins  map[string]map[cid.Cid]struct{}
	fresh map[key]time.Time
	// aged are the tops of files that an owner gave up: they have no grace.
	aged    map[key]struct{}
	leases  map[cid.Cid]int
	fetches map[string]*fetch
	pulls   map[peer.ID]*pullSlot
	bitswap *bitswap.Bitswap
	closed  bool

	serving chan struct{}
	streams streams

	wg    sync.WaitGroup
	stop  context.CancelFunc // ends Run; guarded by mu
	close func() error

	buffers sync.Pool
	// wants bounds what is asked for over bitswap at once.
	wants *semaphore.Weighted
}

// New opens the stores below cfg.Dir. It starts nothing; what a store opened
// is closed by [Store.Run] at its end, or by [Store.Close].
func New(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, errors.New("content store needs a directory")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening content store: %w", err)
	}
	cfg.Dir = dir
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBlob <= 0 {
		cfg.MaxBlob = defaultMaxBlob
	}
	if cfg.AnnounceEvery <= 0 {
		cfg.AnnounceEvery = defaultAnnounceEvery
	}
	s := &Store{
		cfg:     cfg,
		log:     cfg.Logger,
		now:     time.Now,
		create:  createBlobFile,
		idle:    idleTime,
		slow:    writeTime,
		pins:    map[string]map[cid.Cid]struct{}{},
		fresh:   map[key]time.Time{},
		aged:    map[key]struct{}{},
		leases:  map[cid.Cid]int{},
		fetches: map[string]*fetch{},
		serving: make(chan struct{}),
		streams: streams{peers: map[peer.ID]int{}, asked: map[asked]struct{}{}},
		pulls:   map[peer.ID]*pullSlot{},
		wants:   semaphore.NewWeighted(maxWants),
	}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("opening content store: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	for _, d := range []string{"", "blocks", "blobs/sha256", "files", "pins", "grants"} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return err
		}
	}
	if err := os.Chmod(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	dir, err := filepath.EvalSymlinks(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.cfg.Dir = dir
	roots := []string{s.path("blobs")}
	for _, r := range s.cfg.Roots {
		if r, err = filepath.Abs(r); err != nil {
			return err
		}
		roots = append(roots, r)
	}
	s.cfg.Roots = roots
	shard, err := flatfs.ParseShardFunc("/repo/flatfs/shard/v1/next-to-last/2")
	if err != nil {
		return err
	}
	s.flat, err = flatfs.CreateOrOpen(s.path("blocks"), shard, s.cfg.Sync)
	if err != nil {
		return err
	}
	s.close = sync.OnceValue(s.flat.Close)
	s.blocks = blockstore.NewBlockstore(s.flat, blockstore.NoPrefix(), blockstore.WriteThrough(true))
	s.access = newAccess(s)
	for _, load := range []func(context.Context) error{s.loadFiles, s.loadPins, s.loadGrants} {
		if err := load(context.Background()); err != nil {
			return errors.Join(err, s.flat.Close())
		}
	}
	return nil
}

// Close ends every fetch and a running [Store.Run], waits for them, and closes
// the store. Run does it at its end. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.fetches {
		f.cancel()
	}
	if s.stop != nil {
		s.stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.sweep.Lock()
	defer s.sweep.Unlock()
	return s.close()
}

// Serving is closed once [Store.Run] serves all protocols.
func (s *Store) Serving() <-chan struct{} { return s.serving }

// BlobPath is where a fetched blob lives, and where a sealed one may be written
// before it is added: Dir/blobs/sha256/HEX. The digest is "sha256:HEX"; for
// another form the path is empty.
func (s *Store) BlobPath(digest string) string {
	hex, ok := digestHex(digest)
	if !ok {
		return ""
	}
	return s.path("blobs/sha256/" + hex)
}

func (s *Store) path(rel string) string { return filepath.Join(s.cfg.Dir, filepath.FromSlash(rel)) }

// digestHex returns the 64 lowercase hex digits of a "sha256:" digest.
func digestHex(digest string) (string, bool) {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", false
	}
	return hex, true
}

func errClosed() error {
	return status.New(status.Unavailable, "content.closed", "the content store is closed")
}

// begin registers a goroutine that [Store.Close] waits for.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed()
	}
	s.wg.Add(1)
	return nil
}
