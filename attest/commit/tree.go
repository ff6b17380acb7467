package commit

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// maxDepth caps the directories within each other, each of which is a frame of
// the stack here.
const maxDepth = 256

// The modes of entries that git makes today.
const (
	modeFile    = "100644"
	modeProgram = "100755"
	modeLink    = "120000"
	modeDir     = "40000"
	modeModule  = "160000"
)

// Tree is the id of the git tree of these files. It covers names, contents,
// link targets and the executable bit. Directories without files are left out,
// as git has none.
func Tree(fsys fs.FS) (string, error) { return TreeWith(fsys, nil) }

// TreeWith is [Tree] for files with submodules in them: modules has the commit
// id of each by its path, whatever lies below that path.
func TreeWith(fsys fs.FS, modules map[string]string) (string, error) {
	left := len(modules)
	t := trees{fsys: fsys, modules: modules, left: &left, buf: make([]byte, 64<<10)}
	id, _, err := t.dir(".", 0)
	if err != nil {
		return "", err
	}
	if left > 0 {
		return "", refused("%d submodules have no directory", left)
	}
	return hex.EncodeToString(id), nil
}

func refused(format string, args ...any) error {
	return status.New(status.InvalidArgument, ReasonTree, format, args...)
}

type trees struct {
	fsys    fs.FS
	modules map[string]string
	left    *int
	buf     []byte
}

type entry struct {
	mode, name string
	id         []byte
}

// key is what git sorts by: a directory as if its name ended in a slash.
func (e entry) key() string {
	if e.mode == modeDir {
		return e.name + "/"
	}
	return e.name
}

// dir hashes one directory and counts its entries.
func (t trees) dir(name string, depth int) ([]byte, int, error) {
	if depth > maxDepth {
		return nil, 0, refused("got more than %d directories within each other", maxDepth)
	}
	list, err := fs.ReadDir(t.fsys, name)
	if err != nil {
		return nil, 0, fmt.Errorf("listing the files: %w", err)
	}
	var entries []entry
	for _, d := range list {
		e, ok, err := t.entry(path.Join(name, d.Name()), d, depth)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key(), b.key()) })
	size := int64(0)
	for _, e := range entries {
		size += int64(len(e.mode) + 1 + len(e.name) + 1 + len(e.id))
	}
	h := newObject("tree", size)
	for _, e := range entries {
		h.Write([]byte(e.mode + " " + e.name + "\x00"))
		h.Write(e.id)
	}
	id, err := sum(h)
	return id, len(entries), err
}

func (t trees) entry(name string, d fs.DirEntry, depth int) (e entry, ok bool, err error) {
	e.name = d.Name()
	if strings.EqualFold(e.name, ".git") {
		return e, false, refused("got an entry %q, which no commit of git has", name)
	}
	switch d.Type() {
	case fs.ModeDir:
		if commit, is := t.modules[name]; is {
			if !IsID(commit) {
				return e, false, refused("the submodule %q has no commit id", name)
			}
			*t.left--
			e.mode = modeModule
			e.id, err = hex.DecodeString(commit)
			return e, true, err
		}
		var n int
		e.mode = modeDir
		e.id, n, err = t.dir(name, depth+1)
		return e, n > 0, err
	case fs.ModeSymlink:
		e.mode = modeLink
		e.id, err = t.link(name)
		return e, true, err
	case 0:
		e.mode, e.id, err = t.file(name)
		return e, true, err
	}
	return e, false, refused("got %q of mode %s, want files, directories and symbolic links", name, d.Type())
}

func (t trees) link(name string) ([]byte, error) {
	target, err := fs.ReadLink(t.fsys, name)
	if err != nil {
		return nil, fmt.Errorf("reading a link: %w", err)
	}
	h := newObject("blob", int64(len(target)))
	h.Write([]byte(target))
	return sum(h)
}

func (t trees) file(name string) (mode string, id []byte, err error) {
	f, err := t.fsys.Open(name)
	if err != nil {
		return "", nil, fmt.Errorf("opening a file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, fmt.Errorf("reading a file: %w", err)
	}
	mode = modeFile
	if info.Mode()&0o100 != 0 {
		mode = modeProgram
	}
	h := newObject("blob", info.Size())
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, t.buf)
	if err != nil {
		return "", nil, fmt.Errorf("reading a file: %w", err)
	}
	if n != info.Size() {
		return "", nil, fmt.Errorf("reading a file: got %d bytes of %d", n, info.Size())
	}
	id, err = sum(h)
	return mode, id, err
}
