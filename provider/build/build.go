package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// Runtime is what an upload is.
type Runtime string

// The runtimes.
const (
	// Static is a directory that our own web server serves.
	Static Runtime = "static"
	// Binary is a Linux executable.
	Binary Runtime = "binary"
	// Image is an OCI or docker archive.
	Image Runtime = "image"
)

// Runtimes lists all runtimes, sorted.
func Runtimes() []Runtime { return []Runtime{Binary, Image, Static} }

// Request is what to build.
type Request struct {
	Runtime Runtime
	// FS is the uploaded tree, for static and binary.
	FS fs.FS
	// Entry is the path of the executable in the tree, or the directory to serve;
	// empty means that it is found out.
	Entry string
	// Args follow the executable; binary only.
	Args []string
	// Port is what the web server of static listens on; 0 means 8080.
	Port uint16
	// Archive of ArchiveSize bytes is the image, for the runtime image. Result's
	// layers are read from it, so it must live as long.
	Archive     io.ReaderAt
	ArchiveSize int64
	Platform    oci.Platform
}

// Result is an image. Its layers may be opened until Close.
type Result struct {
	Image *oci.Image
	// Evidence says what was decided and why, for people.
	Evidence []string
	// Warnings say what will not work as one might expect.
	Warnings []string
	// User is the image's, such as "65532:65532"; empty is root.
	User string
	// Port is where the image says that it listens for TCP; 0 where it says nothing, or several.
	Port uint16

	dir string
}

// Close removes the layers' files.
func (r *Result) Close() error {
	if r.dir == "" {
		return nil
	}
	return os.RemoveAll(r.dir)
}

func (r *Result) because(format string, args ...any) {
	r.Evidence = append(r.Evidence, fmt.Sprintf(format, args...))
}

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Config of a [Builder].
type Config struct {
	// Dir has the layers while somebody needs them, in plain. It is made with mode
	// 0700, and what is there is removed by the first Build: it is this Builder's alone.
	Dir string
	// Server is the program that serves static sites, for Architecture; nil is the
	// one that is embedded.
	Server []byte
	// Architecture is the Server's, in Go's words; empty is this program's.
	Architecture string
}

// Builder builds images. It is used by several goroutines.
type Builder struct {
	cfg   Config
	clean func() error
}

// New returns a Builder; it touches no file yet.
func New(cfg Config) (*Builder, error) {
	if cfg.Dir == "" {
		return nil, status.New(status.InvalidArgument, "build.config", "dir: got nothing, want a directory")
	}
	if cfg.Architecture == "" {
		cfg.Architecture = runtime.GOARCH
	}
	b := &Builder{cfg: cfg}
	b.clean = onceUntilDone(func() error {
		// A process that was killed left its layers.
		return errors.Join(os.RemoveAll(cfg.Dir), os.MkdirAll(cfg.Dir, 0o700))
	})
	return b, nil
}

// Build makes the image. Errors: invalid_argument for an upload that cannot
// run, with all that was found wrong; resource_exhausted when the disk is full;
// unavailable where this program was built without the web server.
func (b *Builder) Build(ctx context.Context, req Request) (_ *Result, err error) {
	if err := check(req); err != nil {
		return nil, err
	}
	if err := b.clean(); err != nil {
		return nil, diskError(err)
	}
	dir, err := os.MkdirTemp(b.cfg.Dir, "image-*")
	if err != nil {
		return nil, diskError(err)
	}
	res := &Result{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, res.Close())
		}
	}()
	switch req.Runtime {
	case Static:
		err = b.static(ctx, req, res)
	case Binary:
		err = b.binary(ctx, req, res)
	default:
		err = b.image(ctx, req, res)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

const (
	// maxArgs and maxArg bound the configuration that a request can make.
	maxArgs = 256
	maxArg  = 4096
)

// check refuses a request that no upload could make right, all faults at once.
func check(req Request) error {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if !slices.Contains(Runtimes(), req.Runtime) {
		fault("runtime", fmt.Sprintf("%.40q", string(req.Runtime)), listed(Runtimes()))
	}
	if req.Runtime == Image {
		if req.Archive == nil || req.ArchiveSize <= 0 {
			fault("files", "no archive", "an OCI or docker archive")
		}
		if req.Entry != "" {
			fault("entry", fmt.Sprintf("%.80q", req.Entry), "nothing: the image has its own")
		}
	} else if req.FS == nil {
		fault("files", "none", "one or more files")
	}
	if req.Entry != "" && (!fs.ValidPath(req.Entry) || len(req.Entry) > maxPath) {
		fault("entry", fmt.Sprintf("%.80q", req.Entry), "a path in the uploaded tree, without a leading slash, . and ..")
	}
	if req.Platform.OS != "linux" || req.Platform.Architecture == "" {
		fault("platform", req.Platform.String(), "one such as linux/amd64")
	}
	if len(req.Args) > 0 && req.Runtime != Binary {
		fault("args", fmt.Sprint(len(req.Args)), "none for this runtime")
	}
	if len(req.Args) > maxArgs {
		fault("args", fmt.Sprint(len(req.Args)), fmt.Sprintf("at most %d", maxArgs))
	}
	for i, a := range req.Args[:min(len(req.Args), maxArgs)] {
		if len(a) > maxArg || strings.ContainsRune(a, 0) {
			fault(fmt.Sprintf("args[%d]", i), fmt.Sprintf("%d bytes", len(a)), fmt.Sprintf("at most %d, without NUL", maxArg))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return status.Invalid("build.request", "build", faults)
}

// listed joins names for an error text.
func listed[S ~string](names []S) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}
