package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest/detect"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

const (
	// depsDir is where unpacked wheels are in the image.
	depsDir = "opt/deps"
	// healthPort is where a program may answer gRPC health checks.
	healthPort       = 50051
	requirementsName = "requirements.txt"
)

// vendorDirs are where people put wheels, or packages that are unpacked.
var vendorDirs = []string{"wheels", "vendor", "vendored"}

// python makes the image of a Python program: a base, the dependencies, the tree.
func (b *Builder) python(ctx context.Context, req Request, res *Result) error {
	base, c, err := b.base(ctx, req, res, "python")
	if err != nil {
		return err
	}
	target := pythonTarget{machine: linuxMachine[req.Platform.Architecture]}
	for _, e := range c.Config.Env {
		if v, ok := strings.CutPrefix(e, "PYTHON_VERSION=3."); ok {
			minor, _, _ := strings.Cut(v, ".")
			if target.minor, err = strconv.Atoi(minor); err != nil {
				target.minor = 0
			}
		}
	}
	req.stage("dependencies", 10)
	paths := []string{"/" + appDir}
	deps, vendored, err := b.pythonDeps(ctx, req, res, base, target)
	if err != nil {
		return err
	}
	for _, e := range req.Plan.Env {
		if v, ok := strings.CutPrefix(e, "PYTHONPATH="); ok {
			paths = append(paths, strings.Split(v, ":")...)
		}
	}
	paths = append(paths, vendored.paths...)
	if src := srcLayout(req); src != "" {
		res.because("modules are also found in %s: the package is there", src)
		paths = append(paths, "/"+path.Join(appDir, src))
	}
	if deps != nil {
		paths = append(paths, "/"+depsDir)
	}
	req.stage("assembling", 70)
	nodes, err := scan(req.FS, ".", func(name string) bool {
		return unwanted(name) || vendored.wheels != "" && name == vendored.wheels
	})
	if err != nil {
		return err
	}
	app, err := appLayer(ctx, req, res, nodes)
	if err != nil {
		return err
	}
	env := map[string]string{
		"PYTHONPATH": strings.Join(unique(paths), ":"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "HOME": "/tmp",
	}
	return runnable(req, res, base, c, env, []uint16{healthPort}, deps, app)
}

// runnable makes an image that runs the plan's command.
func runnable(req Request, res *Result, base Base, c ocispec.Image, env map[string]string, ports []uint16, deps *oci.Layer, app oci.Layer) error {
	if req.Port != 0 {
		env["PORT"] = strconv.Itoa(int(req.Port))
		if res.Port = req.Port; !slices.Contains(ports, req.Port) {
			ports = append(ports, req.Port)
		}
	} else if len(ports) == 1 {
		res.Port = ports[0]
	}
	for _, e := range req.Plan.Env {
		if name, v, ok := strings.Cut(e, "="); ok && name != "PYTHONPATH" {
			env[name] = v
		}
	}
	if c := req.Plan.Argv[0]; detect.PackageManager(c) {
		res.warn("the command is %s, which the base image must have: name a file for node to run", c)
	}
	layers := []oci.Layer{app}
	if deps != nil {
		layers = []oci.Layer{*deps, app}
	}
	res.Argv = append(slices.Clone(req.Plan.Argv), req.Args...)
	return onBase(req, res, base, c, env, ports, layers...)
}

// appLayer is the tree, below /app.
func appLayer(ctx context.Context, req Request, res *Result, nodes []node) (oci.Layer, error) {
	if len(regular(nodes)) == 0 {
		return oci.Layer{}, status.New(status.InvalidArgument, "build.empty", "files: got none, want a program")
	}
	w, err := newLayer(ctx, res, "app")
	if err != nil {
		return oci.Layer{}, err
	}
	return w.finish(w.tree(req.FS, ".", appDir, nodes, ""))
}

// unwanted says what no app layer has: the history of the tree, and what an
// interpreter left beside its sources, which is another thing on each machine.
func unwanted(name string) bool {
	switch path.Base(name) {
	case ".git", ".hg", ".svn", "__pycache__", ".venv":
		return true
	}
	return false
}

// unique keeps the first of each, in order.
func unique(all []string) (out []string) {
	for _, s := range all {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// srcLayout is "src" where the plan runs a module that is there.
func srcLayout(req Request) string {
	argv := req.Plan.Argv
	i := slices.Index(argv, "-m")
	if i < 0 || i+1 >= len(argv) {
		return ""
	}
	module := strings.ReplaceAll(argv[i+1], ".", "/")
	if !fs.ValidPath(module) || exists(req.FS, module) || exists(req.FS, module+".py") {
		return ""
	}
	if exists(req.FS, path.Join("src", module)) || exists(req.FS, path.Join("src", module+".py")) {
		return "src"
	}
	return ""
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}

// readAll reads a small file of the tree; nil where it is not there.
func readAll(tree fs.FS, name string, most int64) ([]byte, error) {
	f, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	if int64(len(data)) > most {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s has more than %d bytes", name, most)
	}
	return data, nil
}
