package build

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"apocryph/proto/status"
)

// maxTarball bounds an npm package's archive in bytes; the registry takes about as much.
const maxTarball = 512 << 20

func badPackage(p npmPackage, format string, args ...any) *status.Error {
	return status.New(status.InvalidArgument, "build.archive", "%.120q: %s", p.path, fmt.Sprintf(format, args...))
}

// unpack puts a package's files where the lock file wants it. As npm does, it drops
// the first directory of each name, and all that is no file.
func (p npmPackage) unpack(out *output, file string, to *staging) error {
	f, _, err := out.open(file, maxTarball)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newHash(p.integrity.algorithm)
	if _, err := io.Copy(sum, reading{to.ctx, f}); err != nil {
		return fmt.Errorf("reading what the command left: %w", err)
	}
	if !p.integrity.matches(sum.Sum(nil)) {
		return badPackage(p, "the archive has another hash than in %s", lockName)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading what the command left: %w", err)
	}
	return p.files(f, to)
}

func (p npmPackage) files(r io.Reader, to *staging) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return badPackage(p, "it is no gzip archive")
	}
	// Headers count too: an archive may have nothing else.
	tr := tar.NewReader(io.LimitReader(z, maxStaged))
	bins := map[string]bool{}
	for _, target := range p.bin {
		bins[path.Clean(target)] = true
	}
	for count := 0; ; count++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if ctx := to.ctx.Err(); ctx != nil {
			return ctx
		}
		if err != nil {
			return badPackage(p, "it is no tar archive, or it is damaged")
		}
		if count > maxFiles {
			return badPackage(p, "it has more than %d files", maxFiles)
		}
		_, name, ok := strings.Cut(path.Clean(h.Name), "/")
		if h.Typeflag != tar.TypeReg || !ok {
			continue
		}
		if path.IsAbs(h.Name) || !safeName(path.Clean(h.Name)) || !safeName(name) {
			return badPackage(p, "got a file named %.200q, want a path within the package", h.Name)
		}
		at := strings.TrimPrefix(p.path+"/"+name, modulesDir+"/")
		if err := to.add(at, h.Mode&0o111 != 0 || bins[name], h.Size, tr); err != nil {
			var known *status.Error
			if errors.As(err, &known) || to.ctx.Err() != nil {
				return fmt.Errorf("unpacking %s: %w", p.name, err)
			}
			return badPackage(p, "%.200q cannot be unpacked", name)
		}
	}
}

// link makes the package's commands, in .bin beside it, where the files are there.
func (p npmPackage) link(to *staging) error {
	in := strings.TrimPrefix(p.path, modulesDir+"/")
	bin := strings.TrimSuffix(in, p.path[strings.LastIndex(p.path, modulesDir+"/")+len(modulesDir)+1:]) + ".bin"
	for name, target := range p.bin {
		full := path.Join(in, path.Clean(target))
		if info, err := to.root.Lstat(full); err != nil || !info.Mode().IsRegular() {
			continue
		}
		relative, err := filepath.Rel(bin, full)
		if err != nil {
			return badPackage(p, "the command %.80q is outside", name)
		}
		if err := to.link(path.Join(bin, name), filepath.ToSlash(relative)); err != nil {
			return err
		}
	}
	return nil
}
