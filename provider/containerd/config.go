package containerd

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"

	"apocryph/proto/status"
)

// Config says where a runtime keeps its things and what they are called.
type Config struct {
	// DataDir is absolute and outlives this process. It holds unpacked images,
	// writable layers, bundles, logs and containerd's database, all of it
	// plaintext. It may be empty after a reboot: instances are gone with it.
	DataDir string
	// StateDir is absolute and durable, and holds nothing secret: which user ids
	// a pod has, whose volumes are full of them, and the subnet.
	StateDir string
	// RuntimeDir is absolute, at most 32 bytes long, and may vanish at a
	// reboot: sockets, namespaces, mounts of memory.
	RuntimeDir string
	// Volumes keeps what outlives instances.
	Volumes Volumes `json:"-"`
	// Identity is what names this provider's bridge, subnet, packet filter and
	// cgroups: two providers of one machine need different ones. It must not
	// change while DataDir lives.
	Identity string
	// Resolvers are the DNS servers of pods; empty means those of the host.
	Resolvers []netip.Addr
	// RuncPath is the runc to run; empty means the embedded one, or where there
	// is none the one on PATH.
	RuncPath string
	// Logger is nil to discard.
	Logger *slog.Logger
}

// Volumes keeps persistent volumes. Names are "POD.VOLUME".
type Volumes interface {
	// Open makes a volume, or opens the one that is there, and returns its
	// directory, which is root's until somebody gives it away. 0 bytes mean that
	// no size was asked for.
	Open(ctx context.Context, name string, bytes uint64) (dir string, err error)
	// Remove deletes a volume. One that is not there is no error.
	Remove(ctx context.Context, name string) error
	// List names the volumes that are here, open or not.
	List() ([]string, error)
}

// maxRuntimeDir leaves room in the 107 bytes of a socket's path for "/s/" and
// the 64 hex digits that containerd names a shim's socket with.
const maxRuntimeDir = 32

func (c Config) check() error {
	var faults []status.Fault
	for _, d := range []struct{ field, value string }{{"data_dir", c.DataDir}, {"state_dir", c.StateDir}, {"runtime_dir", c.RuntimeDir}} {
		// containerd and overlayfs take paths in options that colons and commas end.
		if !cleanPath.MatchString(d.value) || filepath.Clean(d.value) != d.value {
			faults = append(faults, status.Fault{Field: d.field, Got: d.value, Want: "an absolute path of letters, digits and ._-"})
		}
	}
	if len(c.RuntimeDir) > maxRuntimeDir {
		faults = append(faults, status.Fault{Field: "runtime_dir", Got: c.RuntimeDir, Want: "at most 32 bytes, because of socket paths"})
	}
	if c.DataDir == c.RuntimeDir || c.StateDir == c.RuntimeDir {
		faults = append(faults, status.Fault{Field: "runtime_dir", Got: c.RuntimeDir, Want: "another directory than data_dir and state_dir"})
	}
	if c.Volumes == nil {
		faults = append(faults, status.Fault{Field: "volumes", Got: "nothing", Want: "a place for persistent volumes"})
	}
	if c.Identity == "" {
		faults = append(faults, status.Fault{Field: "identity", Want: "a name that no other provider on this machine has"})
	}
	for _, a := range c.Resolvers {
		if !a.Is4() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
			faults = append(faults, status.Fault{Field: "resolvers", Got: a.String(), Want: "an IPv4 address that is not the loopback"})
		}
	}
	if c.RuncPath != "" && !filepath.IsAbs(c.RuncPath) {
		faults = append(faults, status.Fault{Field: "runc_path", Got: c.RuncPath, Want: "an absolute path"})
	}
	if faults != nil {
		return status.Invalid("runtime.config", "the container runtime's configuration", faults)
	}
	return nil
}

var cleanPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
