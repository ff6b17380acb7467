package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// LayoutFS is an image as the files of an OCI image layout. Layers are opened where
// their files are, and checked as they are read; ctx is theirs. Files are read from
// their beginning, and directories as a whole.
func LayoutFS(ctx context.Context, img *Image) (fs.FS, error) {
	files, err := archived(img, "")
	if err != nil {
		return nil, err
	}
	l := layoutFS{ctx: ctx, files: map[string]*archivedFile{}, dirs: map[string][]fs.DirEntry{}}
	for i := range files {
		f := &files[i]
		l.files[f.name] = f
		l.list(path.Dir(f.name), fileInfo{path.Base(f.name), f.size(), 0o644})
	}
	l.list("blobs", fileInfo{"sha256", 0, fs.ModeDir | 0o755})
	l.list(".", fileInfo{"blobs", 0, fs.ModeDir | 0o755})
	return l, nil
}

type layoutFS struct {
	// ctx is that of the layers: files have none of their own.
	ctx   context.Context
	files map[string]*archivedFile
	dirs  map[string][]fs.DirEntry
}

func (l layoutFS) list(dir string, info fileInfo) {
	l.dirs[dir] = append(l.dirs[dir], fs.FileInfoToDirEntry(info))
	slices.SortFunc(l.dirs[dir], func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
}

// Open implements [fs.FS].
func (l layoutFS) Open(name string) (fs.File, error) {
	if list, ok := l.dirs[name]; ok {
		return &layoutFile{ReadCloser: io.NopCloser(dirReader{}), info: fileInfo{path.Base(name), 0, fs.ModeDir | 0o755}, entries: slices.Clone(list)}, nil
	}
	f, ok := l.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	out := &layoutFile{ReadCloser: io.NopCloser(bytes.NewReader(f.data)), info: fileInfo{path.Base(name), f.size(), 0o644}}
	if f.layer == nil {
		return out, nil
	}
	rc, err := f.layer.Open(l.ctx)
	if err != nil {
		return nil, err
	}
	checked := verify(rc, f.layer.Digest, f.layer.Size, "layer "+f.layer.Digest)
	out.ReadCloser = struct {
		io.Reader
		io.Closer
	}{until(l.ctx, checked), rc}
	return out, nil
}

// Stat implements [fs.StatFS]: nothing is fetched for it.
func (l layoutFS) Stat(name string) (fs.FileInfo, error) {
	if _, ok := l.dirs[name]; ok {
		return fileInfo{path.Base(name), 0, fs.ModeDir | 0o755}, nil
	}
	if f, ok := l.files[name]; ok {
		return fileInfo{path.Base(name), f.size(), 0o644}, nil
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

type layoutFile struct {
	io.ReadCloser
	info    fileInfo
	entries []fs.DirEntry
}

func (f *layoutFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// ReadDir implements [fs.ReadDirFile]: n is at most how many are given.
func (f *layoutFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.entries)
	} else if len(f.entries) == 0 {
		return nil, io.EOF
	}
	out := f.entries[:min(n, len(f.entries))]
	f.entries = f.entries[len(out):]
	return out, nil
}

type dirReader struct{}

func (dirReader) Read([]byte) (int, error) { return 0, errors.New("it is a directory") }

type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
