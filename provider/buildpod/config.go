package buildpod

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Runtime is where jobs run.
type Runtime interface {
	provider.Runtime
	provider.Instances
	provider.Volumes
	provider.Logs
}

// Importer seals a plain image and pins it for an owner.
type Importer interface {
	Import(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64)) (manifest.Image, []byte, error)
}

// Disks are the directories of the runtime's persistent volumes: it opens the
// same ones by the same names, "POD.VOLUME".
type Disks interface {
	Open(ctx context.Context, name string, bytes uint64) (dir string, err error)
	Remove(ctx context.Context, name string) error
	List() ([]string, error)
}

// Limits are those of one job.
type Limits struct {
	// CPUMillis are thousandths of a processor, DiskBytes the source, the output
	// and temporary files together.
	CPUMillis, MemoryBytes, DiskBytes uint64
	PIDs                              uint64
	// Time is that of the command, without what is before and after.
	Time time.Duration
	// LogBytes is what a job may write to its log; the rest is left out.
	LogBytes uint64
	// CacheBytes is the size of one cache.
	CacheBytes uint64
}

// The limits where nothing else is configured.
const (
	defaultCPU    = 2000
	defaultMemory = 2 << 30
	defaultDisk   = 4 << 30
	defaultPIDs   = 512
	defaultTime   = 15 * time.Minute
	defaultLog    = 4 << 20
	defaultCache  = 1 << 30
	// defaultCaches is how many full caches a namespace may have, and
	// defaultAllCaches how many all namespaces together.
	defaultCaches    = 4
	defaultAllCaches = 16
)

// or fills in what is not set.
func (l Limits) or(d Limits) Limits {
	fill := func(to *uint64, from uint64) {
		if *to == 0 {
			*to = from
		}
	}
	fill(&l.CPUMillis, d.CPUMillis)
	fill(&l.MemoryBytes, d.MemoryBytes)
	fill(&l.DiskBytes, d.DiskBytes)
	fill(&l.PIDs, d.PIDs)
	fill(&l.LogBytes, d.LogBytes)
	fill(&l.CacheBytes, d.CacheBytes)
	if l.Time == 0 {
		l.Time = d.Time
	}
	return l
}

// Config is what [Pods] need.
type Config struct {
	Runtime  Runtime
	Importer Importer
	Images   provider.Images
	Disks    Disks
	// Roots measures what a job writes beside its volume, which then counts
	// against its disk, a moment late; nil where the runtime's storage bounds it.
	Roots provider.Roots
	// Dir is absolute and durable, and holds names, sizes and times of use alone.
	Dir string
	// Defaults are the limits of jobs that name none.
	Defaults Limits
	// NamespaceCacheBytes and AllCacheBytes cap the caches of one namespace and
	// of all; 0 is 4 and 16 times the size of one.
	NamespaceCacheBytes, AllCacheBytes uint64
	// Logger is nil to discard, Now nil for the machine's clock.
	Logger *slog.Logger
	Now    func() time.Time

	// step is told, in tests, how far a job is; an error is a kill there.
	step func(name string) error
	// quiet is quietTime, but in tests.
	quiet time.Duration
}

func (c Config) check() error {
	var faults []status.Fault
	need := func(ok bool, field, want string) {
		if !ok {
			faults = append(faults, status.Fault{Field: field, Got: "nothing", Want: want})
		}
	}
	need(c.Runtime != nil, "runtime", "what runs jobs")
	need(c.Importer != nil, "importer", "what seals base images")
	need(c.Images != nil, "images", "what keeps base images")
	need(c.Disks != nil, "disks", "the runtime's volumes")
	if !filepath.IsAbs(c.Dir) {
		faults = append(faults, status.Fault{Field: "dir", Got: strconv.Quote(c.Dir), Want: "an absolute path"})
	}
	if c.Defaults.Time < 0 {
		faults = append(faults, status.Fault{Field: "defaults.time", Got: c.Defaults.Time.String(), Want: "a duration"})
	}
	if faults != nil {
		return status.Invalid("buildpod.config", "the configuration of build pods", faults)
	}
	return nil
}
