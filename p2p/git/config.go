package git

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// Config is what a [Fetcher] works with.
type Config struct {
	Bases slug.Bases
	// Dir is for scratch files, on a disk with room for Limits.Bytes several
	// times over. It exists, is absolute, and of mode 0700.
	Dir string
	// AllowFile are absolute paths: slugs may name the repositories at or below
	// them by file://. Empty: none.
	AllowFile []string
	// AllowHosts are hosts, with a port where it is not 443, that slugs may name though
	// they are in a private network. Those of Bases are allowed anyway.
	AllowHosts []string
	// Lookup finds the addresses of a host; nil is the machine's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// HTTP is for archives; nil is [http.DefaultTransport].
	HTTP http.RoundTripper
	// Git is the program; empty is "git", looked up once.
	Git string
	// Limits that are zero are those of [DefaultLimits].
	Limits Limits
	// Now is nil for [time.Now].
	Now func() time.Time
	// Logger is nil for none.
	Logger *slog.Logger
}

// Limits bound what one call moves and makes.
type Limits struct {
	// Bytes caps the files of a tree, an archive that is moved, and separately
	// what git may write while it fetches.
	Bytes int64
	// Entries caps the files, links and directories of a tree.
	Entries int
	// Time caps a call: a server may answer a byte a second for ever.
	Time time.Duration
}

// DefaultLimits are 2 GiB, 100,000 entries and ten minutes.
func DefaultLimits() Limits {
	return Limits{Bytes: 2 << 30, Entries: 100_000, Time: 10 * time.Minute}
}

const (
	// maxListing caps the list of refs. It is read as it comes, and of it only
	// what was asked for is kept: large repositories have 10 MB of pull requests.
	maxListing = 64 << 20
	// maxHistory caps the list of a branch's commits, 41 bytes each: six million,
	// four times what Linux has.
	maxHistory = 256 << 20
	// maxErrors caps what is kept of git's messages, some of which are the server's.
	maxErrors = 16 << 10
	// maxCommit caps a commit object; attest/commit reads no larger one.
	maxCommit = 256 << 10
	// memory caps the address space of each process of git, against deltas and
	// headers that ask for more. Packs are mapped, so it is larger than it looks.
	memory = 4 << 30
	// shortID is the least of a commit id that is taken for one.
	shortID = 7
)

// Fetcher finds commits and brings their files. It may be used by several
// goroutines, and keeps nothing between calls.
type Fetcher struct {
	cfg Config
	log *slog.Logger
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Fetcher, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, status.New(status.InvalidArgument, "git.config", "the scratch directory is %q, want an absolute path", cfg.Dir)
	}
	for i, p := range cfg.AllowFile {
		if !filepath.IsAbs(p) || filepath.Clean(p) != strings.TrimSuffix(p, "/") && p != "/" {
			return nil, status.New(status.InvalidArgument, "git.config", "path %d that is allowed is %q, want a clean absolute one", i+1, p)
		}
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if cfg.Limits.Bytes < 1 || cfg.Limits.Entries < 1 || cfg.Limits.Time <= 0 {
		return nil, status.New(status.InvalidArgument, "git.config", "the limits are %+v, want each positive", cfg.Limits)
	}
	if cfg.Lookup == nil {
		cfg.Lookup = lookup
	}
	if cfg.Git == "" {
		cfg.Git = "git"
	}
	program, err := exec.LookPath(cfg.Git)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil, status.Wrap(err, status.Unimplemented, "git.program", "there is no git here").WithHint("install git, 2.39 or later")
	}
	cfg.Git = program
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultTransport
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Fetcher{cfg: cfg, log: cfg.Logger}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f, nil
}
