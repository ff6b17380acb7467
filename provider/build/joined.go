package build

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// joined is several trees side by side, each below a directory of its own.
type joined map[string]fs.FS

// split finds the tree of a path, and the path in it.
func (j joined) split(op, name string) (fs.FS, string, error) {
	dir, rest, ok := strings.Cut(name, "/")
	if !ok {
		rest = "."
	}
	tree := j[dir]
	if tree == nil || !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return tree, rest, nil
}

// Open implements [fs.FS].
func (j joined) Open(name string) (fs.File, error) {
	if name == "." {
		list, _ := j.ReadDir(".")
		return &oneOpen{info: oneInfo{".", 0, fs.ModeDir | 0o755}, list: list}, nil
	}
	tree, rest, err := j.split("open", name)
	if err != nil {
		return nil, err
	}
	return tree.Open(rest)
}

// ReadDir implements [fs.ReadDirFS].
func (j joined) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "." {
		var list []fs.DirEntry
		for _, dir := range slices.Sorted(maps.Keys(j)) {
			list = append(list, fs.FileInfoToDirEntry(oneInfo{dir, 0, fs.ModeDir | 0o755}))
		}
		return list, nil
	}
	tree, rest, err := j.split("readdir", name)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(tree, rest)
}

// ReadLink and Lstat implement [fs.ReadLinkFS].
func (j joined) ReadLink(name string) (string, error) {
	tree, rest, err := j.split("readlink", name)
	if err != nil {
		return "", err
	}
	return fs.ReadLink(tree, rest)
}

func (j joined) Lstat(name string) (fs.FileInfo, error) {
	if name == "." {
		return oneInfo{".", 0, fs.ModeDir | 0o755}, nil
	}
	tree, rest, err := j.split("lstat", name)
	if err != nil {
		return nil, err
	}
	return fs.Lstat(tree, rest)
}
