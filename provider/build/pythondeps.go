package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"apocryph/p2p/oci"
)

// maxReadWheel bounds, in bytes, a wheel that must be held in memory because its
// tree has no files of the operating system.
const maxReadWheel = 256 << 20

// vendoredPython is what a tree brought of its dependencies.
type vendoredPython struct {
	// wheels is the directory of wheels, which is unpacked and not copied.
	wheels string
	// paths are the directories of packages in the image.
	paths []string
}

// pythonDeps makes the layer of dependencies; nil where there are none. They come from
// wheels in the tree, or by pip from what a lock file names; both are unpacked
// here, by the same code.
func (b *Builder) pythonDeps(ctx context.Context, req Request, res *Result, base Base, target pythonTarget) (*oci.Layer, vendoredPython, error) {
	var have vendoredPython
	files, err := findVendored(req, res, &have)
	if err != nil {
		return nil, have, err
	}
	kinds := pipLocks()
	if len(files) == 0 && len(have.paths) == 0 {
		kinds = append(kinds, toolLocks()...)
	}
	lock, text, err := findLock(req.FS, kinds)
	if err != nil {
		return nil, have, err
	}
	if lock == nil && len(files) == 0 && len(have.paths) == 0 {
		return nil, have, warnUnlocked(req, res)
	}
	var want []requirement
	if lock != nil {
		want, err = lock.read(text)
	}
	if err != nil && len(have.paths) == 0 {
		return nil, have, err
	}
	switch {
	case len(files) > 0:
		res.because("dependencies: %d wheels in %s", len(files), have.wheels)
		deps, err := wheelLayer(ctx, res, files, want, target, false)
		return deps, have, err
	case len(have.paths) > 0:
		res.because("dependencies: packages in %s", strings.Join(have.paths, ", "))
		return nil, have, nil
	case len(want) == 0:
		return nil, have, nil
	}
	if err := locked(want); err != nil {
		return nil, have, err
	}
	deps, err := b.pip(ctx, req, res, base, lock.name, want, target)
	return deps, have, err
}

// findVendored looks for wheels and for packages that are unpacked.
func findVendored(req Request, res *Result, have *vendoredPython) (files []wheelFile, err error) {
	for _, dir := range vendorDirs {
		all, err := fs.ReadDir(req.FS, dir)
		if err != nil {
			continue
		}
		packages := 0
		for _, e := range all {
			if strings.HasSuffix(e.Name(), ".whl") && e.Type().IsRegular() && have.paths == nil && (have.wheels == "" || have.wheels == dir) {
				have.wheels = dir
				name := path.Join(dir, e.Name())
				files = append(files, wheelFile{e.Name(), func() (io.ReaderAt, int64, io.Closer, error) { return openAt(req.FS, name) }})
				continue
			}
			if e.IsDir() && !unwanted(e.Name()) || strings.HasSuffix(e.Name(), ".py") {
				packages++
			}
			if name, version, ok := strings.Cut(strings.TrimSuffix(e.Name(), ".dist-info"), "-"); ok && strings.HasSuffix(e.Name(), ".dist-info") {
				res.pypi(normalName(name), version, "", "")
			}
		}
		if dir != "wheels" && packages > 0 && have.wheels != dir {
			have.paths = append(have.paths, "/"+path.Join(appDir, dir))
		}
	}
	return files, nil
}

var projectDependencies = regexp.MustCompile(`(?m)^(dependencies\s*=\s*\[\s*("|'|$)|\[tool\.poetry\.dependencies\])`)

// warnUnlocked tells of dependencies that are named only where no version of them is.
func warnUnlocked(req Request, res *Result) error {
	project, err := readAll(req.FS, "pyproject.toml", maxRequirements)
	if err == nil && projectDependencies.Match(project) {
		res.warn("pyproject.toml has dependencies, and there is neither %s with hashes, nor the lock file of pip, uv, Poetry, PDM or Pipenv, nor a directory of wheels: nothing is installed", requirementsName)
	}
	return err
}

// pip lets pip download what the lock file names, in the base image, and takes the
// files after checking each against the lock file.
func (b *Builder) pip(ctx context.Context, req Request, res *Result, base Base, from string, want []requirement, target pythonTarget) (*oci.Layer, error) {
	res.because("dependencies: %d projects by the hashes in %s", len(want), from)
	what := "what " + from + " names"
	if err := b.online(what); err != nil {
		return nil, err
	}
	out, err := b.run(ctx, req, res, Job{
		Name: "pip", Image: base.Image,
		Argv: []string{
			"python", "-m", "pip", "download", "--require-hashes", "--no-deps", "--only-binary=:all:",
			"--disable-pip-version-check", "--no-input", "--timeout=15", "--retries=2", "--progress-bar=off", "--cache-dir=/cache/pip", "--dest=/out", "--requirement=/src/" + requirementsName,
		},
		Env: []string{"HOME=/tmp"}, Source: oneFile{requirementsName, lockText(want)}, Caches: []string{"pip"},
	})
	if err != nil {
		return nil, b.downloaded(err, what, pipSays)
	}
	defer out.close()
	names, err := out.names()
	if err != nil {
		return nil, err
	}
	var files []wheelFile
	for _, name := range names {
		files = append(files, wheelFile{name, func() (io.ReaderAt, int64, io.Closer, error) {
			f, size, err := out.open(name, maxWheel)
			return f, size, f, err
		}})
	}
	return wheelLayer(ctx, res, files, want, target, true)
}

// wheelFile is a wheel that can be opened.
type wheelFile struct {
	name string
	open func() (io.ReaderAt, int64, io.Closer, error)
}

// openAt opens a file of a tree for reading anywhere.
func openAt(tree fs.FS, name string) (io.ReaderAt, int64, io.Closer, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, errors.Join(fmt.Errorf("reading the uploaded files: %w", err), f.Close())
	}
	if at, ok := f.(io.ReaderAt); ok {
		return at, info.Size(), f, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxReadWheel+1))
	if err == nil && len(data) > maxReadWheel {
		err = badWheel(name, "got more than %d bytes", maxReadWheel)
	}
	if err != nil {
		return nil, 0, nil, errors.Join(err, f.Close())
	}
	return bytes.NewReader(data), int64(len(data)), f, nil
}

// wheelLayer unpacks wheels into the layer of dependencies.
func wheelLayer(ctx context.Context, res *Result, files []wheelFile, want []requirement, target pythonTarget, strict bool) (_ *oci.Layer, err error) {
	var all []*wheel
	for _, f := range files {
		r, size, c, err := f.open()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		w, err := openWheel(f.name, r, size)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	chosen, err := choose(all, target)
	if err != nil {
		return nil, err
	}
	if err := holds(want, chosen, strict); err != nil {
		return nil, err
	}
	if n := len(all) - len(chosen); n > 0 {
		res.warn("%d wheels are left out: they are for another Python or machine, or there is one that fits better", n)
	}
	s, err := newStaging(ctx, res)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, w := range chosen {
		left, err := w.unpack(s)
		if err != nil {
			return nil, err
		}
		if left > 0 {
			res.because("%s: %d scripts and data files are left out", w.file, left)
		}
		res.pypi(w.name.dist, w.name.version, w.sha256, w.license)
		res.Materials = append(res.Materials, Material{
			Name: w.file, URI: purl("pypi", w.name.dist, w.name.version, ""), Digest: map[string]string{"sha256": w.sha256},
		})
	}
	l, err := s.layer(res, "deps", depsDir)
	return &l, err
}

func (r *Result) pypi(name, version, sum, license string) {
	p := Package{Name: name, Version: version, PURL: purl("pypi", name, version, ""), SHA256: sum, License: license}
	if !slices.Contains(r.Packages, p) {
		r.Packages = append(r.Packages, p)
	}
}
