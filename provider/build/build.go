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
	"sync"

	"apocryph/manifest/detect"
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
	// Python, Node and Go are sources of a program, run as a [detect.Plan] says.
	Python Runtime = "python"
	Node   Runtime = "node"
	Go     Runtime = "go"
	// Dockerfile is a tree with the instructions for an image.
	Dockerfile Runtime = "dockerfile"
)

// Runtimes lists the runtimes of uploads, sorted: what becomes an image without a command.
func Runtimes() []Runtime { return []Runtime{Binary, Image, Static} }

// Languages lists the runtimes that need a [detect.Plan], sorted.
func Languages() []Runtime { return []Runtime{Dockerfile, Go, Node, Python} }

// Request is what to build.
type Request struct {
	Runtime Runtime
	// FS is the tree; all but image.
	FS fs.FS
	// Entry is the path of the executable in the tree, or the directory to serve;
	// empty means that it is found out.
	Entry string
	// Args follow the executable, or the plan's command; not for static, image and dockerfile.
	Args []string
	// Port is what the web server of static listens on, where 0 means 8080; other
	// programs are told it as PORT, where it is not 0.
	Port uint16
	// Plan is how to build and run the tree, for the languages and only for them.
	Plan *detect.Plan
	// Namespace owns the caches that commands of the build use.
	Namespace string
	// Log receives what commands write, in lines; nil discards it.
	Log io.Writer
	// Progress is told what is being done, and how much is done, in per cent; nil is not.
	Progress func(stage string, percent int)
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
	// Argv is the command of the container; empty for an image that came with its own.
	Argv []string
	// Base is what the image is made on; nil for what is made from nothing.
	Base *Base
	// Materials are what went into the image besides the files, the base first.
	Materials []Material
	// Packages are what was found of packages in it, sorted by PURL.
	Packages []Package
	// Binary is the file of the executable that was built, until Close; Go only.
	Binary string

	dir   string
	files []io.Closer
}

// Close removes the layers' files.
func (r *Result) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	r.files = nil
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
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
	// Bases finds base images; nil has none.
	Bases Bases
	// Pull reads an image of a registry that a Dockerfile names. A stranger chose the reference:
	// it gets no credentials, and reaches no private network. nil refuses all.
	Pull func(context.Context, oci.Reference, oci.Platform) (*oci.Image, error)
	// Runner runs commands; nil refuses what needs one.
	Runner Runner
	// Env is "NAME=value" for commands, such as a proxy or the index of packages. It
	// is public: commands that strangers wrote see it.
	Env []string
	// Offline gives commands no network. What lock files name is then refused, with that
	// reason; what a tree brings along is built.
	Offline bool
}

// Builder builds images. It is used by several goroutines.
type Builder struct {
	cfg   Config
	clean func() error
	// below is the layer of the web server, once it is known.
	below struct {
		sync.Mutex
		described
	}
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
// unavailable where this program was built without the web server, or has no base
// image or nothing to run commands with.
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
	case Python:
		err = b.python(ctx, req, res)
	case Node:
		err = b.node(ctx, req, res)
	case Go:
		err = b.golang(ctx, req, res)
	case Dockerfile:
		err = b.dockerfile(ctx, req, res)
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
	all := append(Runtimes(), Languages()...)
	slices.Sort(all)
	if !slices.Contains(all, req.Runtime) {
		fault("runtime", fmt.Sprintf("%.40q", string(req.Runtime)), listed(all))
	}
	checkPlan(req, fault)
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
	if len(req.Args) > 0 && !slices.Contains([]Runtime{Binary, Python, Node, Go}, req.Runtime) {
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

// checkPlan holds a language to its plan.
func checkPlan(req Request, fault func(field, got, want string)) {
	p := req.Plan
	switch language := slices.Contains(Languages(), req.Runtime); {
	case language && p == nil:
		fault("plan", "none", "how to run the tree")
	case !language && p != nil:
		fault("plan", fmt.Sprintf("%.40q", string(p.Runtime)), "none for this runtime")
	case p == nil:
	case string(p.Runtime) != string(req.Runtime):
		fault("plan", fmt.Sprintf("%.40q", string(p.Runtime)), fmt.Sprintf("%q", string(req.Runtime)))
	case len(p.Argv) == 0 && (req.Runtime == Python || req.Runtime == Node):
		fault("plan.argv", "nothing", "a command")
	case p.Entry != "" && (!fs.ValidPath(p.Entry) || len(p.Entry) > maxPath):
		fault("plan.entry", fmt.Sprintf("%.80q", p.Entry), "a path in the tree, without a leading slash, . and ..")
	}
	if p == nil {
		return
	}
	for i, a := range append(slices.Clone(p.Argv[:min(len(p.Argv), maxArgs)]), p.Entry) {
		if len(a) > maxArg || strings.ContainsRune(a, 0) {
			fault(fmt.Sprintf("plan.argv[%d]", i), fmt.Sprintf("%d bytes", len(a)), fmt.Sprintf("at most %d, without NUL", maxArg))
		}
	}
	if len(p.Argv) > maxArgs {
		fault("plan.argv", fmt.Sprint(len(p.Argv)), fmt.Sprintf("at most %d", maxArgs))
	}
}

// listed joins names for an error text.
func listed[S ~string](names []S) string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return strings.Join(all, ", ")
}
