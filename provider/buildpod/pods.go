package buildpod

import (
	"log/slog"
	"sync"
	"time"

	"apocryph/provider/build"
)

// Pods run jobs. Methods may be called by several goroutines; how many jobs run
// at a time is their caller's to bound.
type Pods struct {
	cfg Config
	log *slog.Logger

	// importing is held while a base is brought: two jobs need it once.
	importing chan struct{}

	mu    sync.Mutex
	bases map[string]*base
	// used counts the jobs that have a cache mounted, by volume.
	used map[string]int
	warm map[string]*holder
}

var _ build.Runner = (*Pods)(nil)

// New checks a configuration and touches nothing.
func New(cfg Config) (*Pods, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Defaults = cfg.Defaults.or(Limits{
		CPUMillis: defaultCPU, MemoryBytes: defaultMemory, DiskBytes: defaultDisk, PIDs: defaultPIDs,
		Time: defaultTime, LogBytes: defaultLog, CacheBytes: defaultCache,
	})
	if cfg.NamespaceCacheBytes == 0 {
		cfg.NamespaceCacheBytes = defaultCaches * cfg.Defaults.CacheBytes
	}
	if cfg.AllCacheBytes == 0 {
		cfg.AllCacheBytes = defaultAllCaches * cfg.Defaults.CacheBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.quiet == 0 {
		cfg.quiet = quietTime
	}
	if cfg.step == nil {
		cfg.step = func(string) error { return nil }
	}
	p := &Pods{cfg: cfg, log: cfg.Logger, bases: map[string]*base{}, used: map[string]int{}, warm: map[string]*holder{}, importing: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}
