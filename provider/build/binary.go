package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
)

const (
	appDir      = "app"
	defaultMain = "main"
	// maxCandidates bounds the executables that an error lists.
	maxCandidates = 16
)

// binary makes the image of a Linux executable and what lies beside it.
func (b *Builder) binary(ctx context.Context, req Request, res *Result) error {
	nodes, err := scan(req.FS, ".", nil)
	if err != nil {
		return err
	}
	entry, err := findMain(req, nodes, res)
	if err != nil {
		return err
	}
	return b.program(ctx, req, res, nodes, entry)
}

// program makes the image of nodes of the tree, of which entry is run.
func (b *Builder) program(ctx context.Context, req Request, res *Result, nodes []node, entry string) error {
	if err := checkMain(req, nodes, entry, res); err != nil {
		return err
	}
	below, err := newLayer(ctx, res, "base")
	if err != nil {
		return err
	}
	base, err := below.finish(below.base())
	if err != nil {
		return err
	}
	above, err := newLayer(ctx, res, "app")
	if err != nil {
		return err
	}
	app, err := above.finish(above.tree(req.FS, ".", appDir, nodes, entry))
	if err != nil {
		return err
	}
	env := []string{"PATH=/app", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}
	if req.Runtime == Go && req.Port != 0 {
		res.Port = req.Port
		env = append(env, "PORT="+strconv.Itoa(int(req.Port)))
	}
	return assemble(req, res, ocispec.ImageConfig{
		Entrypoint: append([]string{"/" + path.Join(appDir, entry)}, req.Args...), WorkingDir: "/" + appDir, Env: env,
	}, base, app)
}

// findMain chooses the executable.
func findMain(req Request, nodes []node, res *Result) (string, error) {
	files := regular(nodes)
	has := func(name string) bool {
		for _, f := range files {
			if f.path == name {
				return true
			}
		}
		return false
	}
	switch {
	case len(files) == 0:
		return "", status.New(status.InvalidArgument, "build.empty", "files: got none, want an executable")
	case req.Entry != "" && has(req.Entry):
		res.because("running %s: it is the entry", req.Entry)
		return req.Entry, nil
	case req.Entry == "" && len(files) == 1:
		res.because("running %s: it is the only file", files[0].path)
		return files[0].path, nil
	case req.Entry == "" && has(defaultMain):
		res.because("running %s: it has the usual name", defaultMain)
		return defaultMain, nil
	}
	var found []string
	for _, f := range files {
		if len(found) < maxCandidates && startsLikeELF(req.FS, f.path) {
			found = append(found, fmt.Sprintf("%.80q", f.path))
		}
	}
	candidates := "there is no executable"
	if len(found) > 0 {
		candidates = "executables are " + strings.Join(found, ", ")
	}
	if req.Entry != "" {
		return "", status.New(status.InvalidArgument, "build.entry", "entry: got %.80q, want a file of the upload; %s", req.Entry, candidates)
	}
	return "", status.New(status.InvalidArgument, "build.entry", "entry: got nothing and %d files, want the one to run; %s", len(files), candidates).
		WithHint("name the executable in entry, or call it main")
}

func startsLikeELF(tree fs.FS, name string) bool {
	f, err := tree.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [4]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == elfMagic
}

// checkMain refuses an executable that could not start in the image.
func checkMain(req Request, nodes []node, entry string, res *Result) error {
	f, err := req.FS.Open(entry)
	if err != nil {
		return fmt.Errorf("reading the uploaded files: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the uploaded files: %w", err)
	}
	var r io.ReaderAt
	if at, ok := f.(io.ReaderAt); ok {
		r = io.NewSectionReader(at, 0, info.Size())
	} else {
		// Headers and the interpreter's name are at the beginning of every file
		// that a linker made.
		head, err := io.ReadAll(io.LimitReader(f, maxHead))
		if err != nil {
			return fmt.Errorf("reading the uploaded files: %w", err)
		}
		r = strings.NewReader(string(head))
	}
	got, err := parseELF(r)
	if err != nil {
		var known *status.Error
		if errors.As(err, &known) {
			return err
		}
		return fmt.Errorf("reading the uploaded files: %w", err)
	}
	if want := req.Platform.Architecture; got.arch != want {
		return status.New(status.InvalidArgument, "build.architecture", "%.80q: got %s, want %q", entry, got.text, want).
			WithHint("build the program for linux/%s", want)
	}
	if got.interpreter == "" {
		res.because("%s is %s, statically linked", entry, got.text)
		return nil
	}
	for _, n := range nodes {
		if "/"+appDir+"/"+n.path == got.interpreter && n.mode.Type() == 0 {
			res.because("%s is %s, and its interpreter %s is in the upload", entry, got.text, got.interpreter)
			return nil
		}
	}
	return status.New(status.InvalidArgument, "build.dynamic", "%.80q: got a program that needs the interpreter %.80q, want one that is statically linked", entry, got.interpreter).
		WithHint("link it statically (for Go CGO_ENABLED=0, for Rust a musl target, for C -static), or upload an image")
}
