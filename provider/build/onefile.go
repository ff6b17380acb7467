package build

import (
	"bytes"
	"io/fs"
	"time"
)

// oneFile is a tree of one file: all that a command is given where it needs no more.
type oneFile struct {
	name string
	data []byte
}

// Open implements [fs.FS].
func (o oneFile) Open(name string) (fs.File, error) {
	switch name {
	case o.name:
		return &oneOpen{Reader: *bytes.NewReader(o.data), info: oneInfo{name, int64(len(o.data)), 0o644}}, nil
	case ".":
		return &oneOpen{info: oneInfo{".", 0, fs.ModeDir | 0o755}, list: []fs.DirEntry{fs.FileInfoToDirEntry(oneInfo{o.name, int64(len(o.data)), 0o644})}}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// oneOpen is an open file or directory of it.
type oneOpen struct {
	bytes.Reader
	info oneInfo
	list []fs.DirEntry
}

func (o *oneOpen) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *oneOpen) Close() error               { return nil }

// ReadDir implements [fs.ReadDirFile]; callers ask for all.
func (o *oneOpen) ReadDir(int) ([]fs.DirEntry, error) {
	list := o.list
	o.list = nil
	return list, nil
}

// oneInfo is what is said of it.
type oneInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i oneInfo) Name() string       { return i.name }
func (i oneInfo) Size() int64        { return i.size }
func (i oneInfo) Mode() fs.FileMode  { return i.mode }
func (i oneInfo) ModTime() time.Time { return epoch }
func (i oneInfo) IsDir() bool        { return i.mode.IsDir() }
func (i oneInfo) Sys() any           { return nil }
