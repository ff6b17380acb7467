package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"apocryph/proto/status"
)

const (
	// maxFiles bounds the entries of a tree, as in an archive: each costs memory here.
	maxFiles = 1 << 16
	// maxPath bounds a path in bytes; Linux takes 4096 with all that is in front.
	maxPath = 1024
	// maxFaults bounds what is listed of a tree that is wrong everywhere.
	maxFaults = 16
)

// node is an entry of a tree.
type node struct {
	path string
	mode fs.FileMode
	size int64
	link string
}

// scan lists what is below a directory of a tree, sorted by path with parents
// first, and refuses what no image may have. Skip names what is left out.
func scan(tree fs.FS, dir string, skip func(path string) bool) ([]node, error) {
	var (
		nodes  []node
		faults []status.Fault
	)
	err := fs.WalkDir(tree, dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == dir {
			return nil
		}
		name := strings.TrimPrefix(p, dir+"/")
		if skip != nil && skip(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if len(nodes) >= maxFiles {
			return status.New(status.InvalidArgument, "build.files", "there are more than %d files", maxFiles)
		}
		n, fault, err := inspect(tree, dir, name, d)
		if err != nil {
			return err
		}
		if fault != nil {
			if faults = append(faults, *fault); len(faults) >= maxFaults {
				return fs.SkipAll
			}
			return nil
		}
		nodes = append(nodes, n)
		return nil
	})
	if err != nil {
		var known *status.Error
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, fmt.Errorf("reading the uploaded files: %w", err)
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.files", "files", faults)
	}
	// A walk is sorted within each directory, so that parents come first; by
	// whole path "a-b" would come between "a" and "a/b".
	return nodes, nil
}

// inspect returns an entry, or what is wrong with it.
func inspect(tree fs.FS, dir, name string, d fs.DirEntry) (node, *status.Fault, error) {
	fault := func(want string) (node, *status.Fault, error) {
		return node{}, &status.Fault{Field: "files", Got: fmt.Sprintf("%.200q", name), Want: want}, nil
	}
	if len(name) > maxPath || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fault(fmt.Sprintf("a path of at most %d bytes without control characters", maxPath))
	}
	full := path.Join(dir, name)
	switch d.Type() {
	case fs.ModeDir:
		return node{path: name, mode: fs.ModeDir}, nil, nil
	case fs.ModeSymlink:
		target, err := fs.ReadLink(tree, full)
		if err != nil {
			return fault("no link, for it cannot be read")
		}
		to := path.Join(path.Dir(name), target)
		if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") || len(target) > maxPath {
			return fault("a link to within the tree")
		}
		return node{path: name, mode: fs.ModeSymlink, link: target}, nil, nil
	case 0:
		info, err := d.Info()
		if err != nil {
			return node{}, nil, err
		}
		return node{path: name, mode: info.Mode() & 0o111, size: info.Size()}, nil, nil
	}
	return fault("a file, directory or link")
}

// regular lists the files among nodes.
func regular(nodes []node) []node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n node) bool { return n.mode.Type() != 0 })
}

// tree writes nodes of a directory of a tree below a directory of the layer,
// which it makes. Exec says which files are executable besides those that say so.
func (w *layerWriter) tree(tree fs.FS, dir, to string, nodes []node, exec string) error {
	if err := w.dir(to, modeDir); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		name := to + "/" + n.path
		var err error
		switch {
		case n.mode.IsDir():
			err = w.dir(name, modeDir)
		case n.link != "":
			err = w.link(name, n.link)
		default:
			mode := int64(modeFile)
			if n.mode&0o111 != 0 || n.path == exec {
				mode = modeExec
			}
			err = w.copy(tree, path.Join(dir, n.path), name, mode, n.size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *layerWriter) copy(tree fs.FS, from, to string, mode, size int64) error {
	f, err := tree.Open(from)
	if err != nil {
		return fmt.Errorf("reading the uploaded files: %w", err)
	}
	defer f.Close()
	return w.file(to, mode, size, io.Reader(f))
}
