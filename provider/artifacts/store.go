package artifacts

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"filippo.io/age"
)

// Config is what a store needs.
type Config struct {
	// Dir is the store's own directory; it is made with mode 0700.
	Dir string
	// Identity is the text of an age X25519 secret key ("AGE-SECRET-KEY-1…"),
	// see [NewIdentity]. Its public half is to be kept secret as well.
	Identity string
	// Records keeps the metadata.
	Records Records
	// MaxBytes bounds one artifact, 5 GiB by default.
	MaxBytes int64
	// MaxTotal bounds the bytes of all artifacts together, 64 GiB by default.
	MaxTotal int64
	// MaxPerNamespace bounds the artifacts of one namespace, 1000 by default.
	MaxPerNamespace int
	// MaxUploads bounds the uploads that run at once, 128 by default. One
	// namespace may have a quarter of them, at least one.
	MaxUploads int
	// StaleAfter is how long an artifact that is not complete may wait for its
	// next byte before it is removed, 24 hours by default.
	StaleAfter time.Duration
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
}

const (
	defaultMaxBytes        = 5 << 30
	defaultMaxTotal        = 64 << 30
	defaultMaxPerNamespace = 1000
	defaultMaxUploads      = 128
	defaultStaleAfter      = 24 * time.Hour
	// maxArtifacts bounds the records in memory, whatever number of namespaces
	// a stranger may create: some 100 MB with the longest texts.
	maxArtifacts = 10_000
	// namespaceShare is the part of MaxUploads that one namespace may have.
	namespaceShare = 4
)

// NewIdentity makes the secret key of a new store. It is for the caller to seal
// and to keep: without it, the store's bytes are noise.
func NewIdentity() (string, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("making an identity: %w", err)
	}
	return id.String(), nil
}

// entry is what is known of one artifact while the store runs.
type entry struct {
	art Artifact
	// begun says that there is a state on the disk; offset and length are its
	// (length is -1 while it is deferred).
	begun          bool
	offset, length int64
	touched        time.Time
	// busy is one call that changes the artifact.
	busy bool
	// gone is an artifact without a record, whose bytes are still being read.
	gone    bool
	readers int
	holds   map[string]struct{}
}

// Store keeps artifacts. Its methods may be called concurrently, once [Store.Run]
// has made it ready.
type Store struct {
	cfg      Config
	identity *age.X25519Identity
	disk     *disk
	log      *slog.Logger
	ready    chan struct{}
	// blocks are those of uploads, to be used again.
	blocks sync.Pool

	mu      sync.Mutex
	open    bool
	entries map[string]*entry
	// perNamespace counts entries, and records that are being created.
	perNamespace map[string]int
	// uploads counts running uploads by namespace.
	uploads map[string]int
	running int
	// used is the bytes of content, of complete and incomplete artifacts.
	used int64
}

// New checks the configuration and opens the directory. Nothing can be called
// until [Store.Run] has loaded the records.
func New(cfg Config) (*Store, error) {
	identity, err := age.ParseX25519Identity(cfg.Identity)
	switch {
	case err != nil:
		// The library's error may quote the key.
		return nil, errors.New("identity of the artifact store: not an age X25519 secret key")
	case cfg.Dir == "":
		return nil, errors.New("artifact store: no directory")
	case cfg.Records == nil:
		return nil, errors.New("artifact store: no records")
	case cfg.MaxBytes < 0, cfg.MaxTotal < 0, cfg.MaxPerNamespace < 0, cfg.MaxUploads < 0, cfg.StaleAfter < 0:
		return nil, errors.New("artifact store: limits are not negative")
	}
	cfg.MaxBytes = or(cfg.MaxBytes, defaultMaxBytes)
	cfg.MaxTotal = or(cfg.MaxTotal, defaultMaxTotal)
	cfg.MaxPerNamespace = or(cfg.MaxPerNamespace, defaultMaxPerNamespace)
	cfg.MaxUploads = or(cfg.MaxUploads, defaultMaxUploads)
	cfg.StaleAfter = or(cfg.StaleAfter, defaultStaleAfter)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := openDisk(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the artifact store: %w", err)
	}
	return &Store{
		cfg: cfg, identity: identity, disk: d, log: cfg.Logger, ready: make(chan struct{}),
		blocks:  sync.Pool{New: func() any { return new(block) }},
		entries: map[string]*entry{}, perNamespace: map[string]int{}, uploads: map[string]int{},
	}, nil
}

// Ready is closed when [Store.Run] has loaded the records.
func (s *Store) Ready() <-chan struct{} { return s.ready }

func (s *Store) now() time.Time { return s.cfg.Now().UTC() }

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
