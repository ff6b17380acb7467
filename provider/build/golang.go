package build

import (
	"context"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"io"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// maxProgram bounds, in bytes, what a compiler may leave.
const maxProgram = 2 << 30

// golang compiles a Go program and makes the image of a binary of it.
func (b *Builder) golang(ctx context.Context, req Request, res *Result) error {
	base, _, err := b.base(ctx, req, res, "go")
	if err != nil {
		return err
	}
	if !exists(req.FS, "go.mod") {
		return status.New(status.InvalidArgument, "build.lock", "got no go.mod, want one").WithHint("run go mod init and go mod tidy")
	}
	pkg := "."
	if req.Plan.Entry != "" && req.Plan.Entry != "." {
		pkg = "./" + req.Plan.Entry
	}
	mode := "readonly"
	if exists(req.FS, "vendor/modules.txt") {
		mode = "vendor"
	}
	res.because("compiling %s with -mod=%s", pkg, mode)
	req.stage("compiling", 10)
	out, err := b.run(ctx, req, res, Job{
		Name: "go build", Image: base.Image, Argv: []string{"go", "build", "-o", "/out/" + defaultMain, pkg}, Source: req.FS,
		Caches: []string{"gocache", "gomod"},
		Env: []string{
			"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + req.Platform.Architecture, "GOFLAGS=-mod=" + mode + " -trimpath -buildvcs=false",
			"GOTOOLCHAIN=local", "GOWORK=off", "GOENV=off", "GOTELEMETRY=off", "GOCACHE=/cache/gocache", "GOMODCACHE=/cache/gomod", "GOPATH=/tmp/go", "HOME=/tmp",
		},
	})
	if err != nil {
		return b.downloaded(err, "what go.mod names", goSays)
	}
	defer out.close()
	// The command is over: nobody exchanges the file between the look and the use.
	f, _, err := out.open(defaultMain, maxProgram)
	if err != nil {
		return err
	}
	defer f.Close()
	req.stage("assembling", 80)
	res.Binary = filepath.Join(out.dir, defaultMain)
	if err := res.modules(f); err != nil {
		return err
	}
	if len(req.Plan.Argv) > 1 {
		req.Args = append(slices.Clone(req.Plan.Argv[1:]), req.Args...)
	}
	req.FS = out.root.FS()
	nodes, err := scan(req.FS, ".", func(name string) bool { return name != defaultMain })
	if err != nil {
		return err
	}
	return b.program(ctx, req, res, nodes, defaultMain)
}

// modules reads what the linker wrote of the modules in a program. debug/elf
// panicked on damaged files before, and the file is a stranger's.
func (r *Result) modules(f io.ReaderAt) (err error) {
	damaged := status.New(status.InvalidArgument, "build.executable", "the compiled program does not say what it is made of")
	defer func() {
		if recover() != nil {
			err = damaged
		}
	}()
	info, err := buildinfo.Read(f)
	if err != nil {
		return damaged
	}
	r.because("compiled by %.40s", info.GoVersion)
	r.Packages = append(r.Packages, Package{Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: purl("golang", "stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")})
	for _, m := range info.Deps[:min(len(info.Deps), maxOutput)] {
		switch {
		case m.Replace != nil && m.Replace.Version != "":
			m = m.Replace
		case m.Replace != nil:
			// A directory of the tree, which the source names.
			m = &debug.Module{Path: m.Path}
		}
		r.module(m)
	}
	return nil
}

func (r *Result) module(m *debug.Module) {
	name := purl("golang", m.Path, m.Version, "")
	p := Package{Name: m.Path, Version: m.Version, PURL: name}
	if slices.Contains(r.Packages, p) {
		return
	}
	r.Packages = append(r.Packages, p)
	// "h1:" is SHA-256 over the hashes of the module's files (golang.org/x/mod/sumdb/dirhash).
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err == nil && len(sum) == 32 {
		r.Materials = append(r.Materials, Material{Name: m.Path + "@" + m.Version, URI: name, Digest: map[string]string{"goModuleH1": hex.EncodeToString(sum)}})
	}
}
