package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// maxStaged bounds, in bytes, what archives of dependencies may unfold to together.
const maxStaged = 8 << 30

// staging is a directory in which archives of dependencies are unpacked before
// they become a layer: archives have their own order, and a layer is sorted.
type staging struct {
	ctx   context.Context // the build's; ends a copy
	dir   string
	root  *os.Root
	files int
	size  int64
}

func newStaging(ctx context.Context, res *Result) (*staging, error) {
	dir := filepath.Join(res.dir, "staging")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, diskError(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskError(err)
	}
	return &staging{ctx: ctx, dir: dir, root: root}, nil
}

func (s *staging) close() error { return errors.Join(s.root.Close(), os.RemoveAll(s.dir)) }

// safeName says whether an archive's entry may be a file of an image.
func safeName(name string) bool {
	if !fs.ValidPath(name) || name == "." || len(name) > maxPath || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 { // NAME_MAX
			return false
		}
	}
	return true
}

// add writes a file of exactly size bytes. What is there already must be the
// same: packages share the directory of a namespace, and no more.
func (s *staging) add(name string, exec bool, size int64, r io.Reader) error {
	if s.files++; s.files > maxFiles {
		return status.New(status.InvalidArgument, "build.files", "the dependencies have more than %d files", maxFiles)
	}
	if s.size += size; size < 0 || s.size > maxStaged {
		return status.New(status.InvalidArgument, "build.size", "the dependencies have more than %d bytes", int64(maxStaged))
	}
	if err := s.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return s.fault(err, name)
	}
	mode := fs.FileMode(0o600)
	if exec {
		mode = 0o700
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return s.same(name, size, r)
	}
	if err != nil {
		return s.fault(err, name)
	}
	n, err := io.Copy(f, io.LimitReader(reading{s.ctx, r}, size+1))
	if closing := f.Close(); err == nil && closing != nil {
		err = diskError(closing)
	}
	if err == nil && n != size {
		err = status.New(status.InvalidArgument, "build.archive", "%.200q: got %d bytes or more, want %d", name, n, size)
	}
	return err
}

// link adds a symbolic link within the directory; what is there stays.
func (s *staging) link(name, target string) error {
	if err := s.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return s.fault(err, name)
	}
	if err := s.root.Symlink(target, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return s.fault(err, name)
	}
	return nil
}

// same compares a file with what is there.
func (s *staging) same(name string, size int64, r io.Reader) error {
	differ := status.New(status.InvalidArgument, "build.archive", "%.200q: two packages have different files of this name", name)
	info, err := s.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return differ
	}
	f, err := s.root.Open(name)
	if err != nil {
		return diskError(err)
	}
	defer f.Close()
	if equal, err := sameBytes(reading{s.ctx, f}, io.LimitReader(reading{s.ctx, r}, size+1)); err != nil || !equal {
		return errors.Join(differ, err)
	}
	return nil
}

func sameBytes(x, y io.Reader) (bool, error) {
	one, two := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(x, one)
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		m, err2 := io.ReadFull(y, two)
		if err2 != nil && err2 != io.EOF && !errors.Is(err2, io.ErrUnexpectedEOF) {
			return false, err2
		}
		if n != m || string(one[:n]) != string(two[:m]) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
	}
}

// fault tells a name that cannot be from a disk that is full.
func (s *staging) fault(err error, name string) error {
	if full := diskError(err); status.CodeOf(full) == status.ResourceExhausted {
		return full
	}
	return status.Wrap(err, status.InvalidArgument, "build.archive", "%.200q: got a name that cannot be had beside the others", name)
}

// layer makes a layer of the directory, below a directory of the image whose
// parents it makes too.
func (s *staging) layer(res *Result, name, to string) (oci.Layer, error) {
	nodes, err := scan(s.root.FS(), ".", nil)
	if err != nil {
		return oci.Layer{}, err
	}
	w, err := newLayer(s.ctx, res, name)
	if err != nil {
		return oci.Layer{}, err
	}
	for i, c := range to {
		if c == '/' && err == nil {
			err = w.dir(to[:i], modeDir)
		}
	}
	if err == nil {
		err = w.tree(s.root.FS(), ".", to, nodes, "")
	}
	l, err := w.finish(err)
	if err != nil {
		return oci.Layer{}, fmt.Errorf("packing dependencies: %w", err)
	}
	return l, nil
}
