package source

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

const (
	// stagingPrefix marks the directories that Sweep looks at.
	stagingPrefix = ".staging-"
	// contents is the tree itself, below its staging directory.
	contents = "tree"
)

var errDone = errors.New("the tree is closed or committed")

// Tree is a directory that is being filled from uploaded parts. Its methods
// are not to be called at the same time.
type Tree struct {
	limits  Limits
	staging string
	lock    *os.File
	// dir is the path of the tree's root, within staging.
	dir  string
	root *os.Root
	// cur is the directory of the last entry, curPath its name: the next entry
	// is mostly in the same one.
	cur     *os.Root
	curPath string

	// seen has, under a keyed hash of each folded name, the number of the part
	// that brought it. The names themselves are on the disk: 100,000 of them
	// would be 100 MB of memory.
	seen    map[uint64]uint32
	seed    maphash.Seed
	parts   int
	bytes   int64
	entries int
	links   int
	strip   int
	checked bool
	buf     []byte
	// end is why nothing can be done with the tree any more.
	end error
}

// NewTree makes an empty tree in a new directory of mode 0700 below parent,
// which must exist. The caller closes it.
func NewTree(parent string, l Limits) (*Tree, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	staging, lock, err := newStaging(parent)
	if err != nil {
		return nil, hostError("making a staging directory", err)
	}
	t := &Tree{
		limits: l, staging: staging, lock: lock, dir: filepath.Join(staging, contents),
		seen: map[uint64]uint32{}, seed: maphash.MakeSeed(), buf: make([]byte, copyBytes),
	}
	if t.root, err = makeRoot(t.dir); err != nil {
		return nil, errors.Join(hostError("making a staging directory", err), t.Close())
	}
	return t, nil
}

func makeRoot(dir string) (*os.Root, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	// Not by the mode of Mkdir, which the umask narrows.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// newStaging makes a directory and locks it. The lock goes with the process,
// and so tells [Sweep] what nobody uses.
func newStaging(parent string) (string, *os.File, error) {
	for {
		dir, err := os.MkdirTemp(parent, stagingPrefix)
		if err != nil {
			return "", nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", nil, errors.Join(err, os.Remove(dir))
		}
		if lock(f) == nil {
			mine, err := f.Stat()
			here, gone := os.Lstat(dir)
			if err == nil && gone == nil && os.SameFile(mine, here) {
				return dir, f, nil
			}
		}
		// A Sweep came between the making and the lock, and removes it.
		f.Close()
	}
}

func lock(dir *os.File) error { return unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// Size returns the sum of the sizes of all files, and the number of files,
// links and directories below the root.
func (t *Tree) Size() (bytes int64, entries int) { return t.bytes, t.entries }

// FS reads the tree. What a link names outside of it cannot be opened.
func (t *Tree) FS() fs.FS { return t.root.FS() }

// Dir is the path of the tree's root. Links in it are only known to stay
// within after [Tree.Check], [Tree.Digest] or [Tree.Commit]; read through [Tree.FS].
func (t *Tree) Dir() string { return t.dir }

// StripComponents makes the one directory at the root the root, n times, for
// archives made like "tar cf app.tar app/". Where anything lies beside it, or
// there is nothing, it refuses with [ReasonRoot]: no entry is ever dropped. It
// comes after the last Add.
func (t *Tree) StripComponents(n int) error {
	for range n {
		if t.end != nil {
			return t.end
		}
		names, err := t.top()
		if err != nil {
			return hostError("listing the tree", err)
		}
		name, err := onlyDir(t.root, names)
		if err != nil {
			return err
		}
		root, err := t.root.OpenRoot(name)
		if err != nil {
			return hostError("opening the directory to strip", err)
		}
		t.leave()
		t.root.Close()
		t.root, t.dir = root, filepath.Join(t.dir, name)
		t.strip, t.checked = t.strip+1, false
		t.entries--
	}
	return nil
}

// top returns up to three names at the root: one more than can be right, and
// one more to show.
func (t *Tree) top() ([]string, error) {
	f, err := t.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(3)
	if len(names) == 0 {
		return nil, nil
	}
	return names, err
}

func onlyDir(root *os.Root, names []string) (string, error) {
	got := fmt.Sprintf("%d or more entries", len(names))
	switch len(names) {
	case 0:
		got = "an empty tree"
	case 1:
		info, err := root.Lstat(names[0])
		if err != nil {
			return "", hostError("reading the tree", err)
		}
		if info.IsDir() {
			return names[0], nil
		}
		got = kindOf(info.Mode())
	}
	for i, n := range names {
		names[i] = quote(n)
	}
	if len(names) > 0 {
		got += " (" + strings.Join(names, ", ") + ")"
	}
	return "", status.Invalid(ReasonRoot, "the files", []status.Fault{{Field: "root", Got: got, Want: "one directory and nothing beside it"}}).
		WithHint("do not ask to strip, or send an archive with one directory at its root")
}

func (t *Tree) leave() {
	if t.cur != nil && t.curPath != "." {
		t.cur.Close()
	}
	t.cur, t.curPath = nil, ""
}

// Close removes what was not committed. Closing again does nothing.
func (t *Tree) Close() error {
	if t.end == nil {
		t.end = errDone
	}
	return t.remove()
}

// fail ends the tree with err: half of an archive is of no use, and its space
// may be what others wait for.
func (t *Tree) fail(err error) error {
	if t.end == nil {
		t.end = err
		if left := t.remove(); left != nil {
			return errors.Join(err, left)
		}
	}
	return err
}

func (t *Tree) remove() error {
	if t.lock == nil {
		return nil
	}
	t.leave()
	if t.root != nil {
		t.root.Close()
	}
	err := os.RemoveAll(t.staging)
	t.lock.Close()
	t.lock, t.seen, t.buf = nil, nil, nil
	if err != nil {
		return fmt.Errorf("removing the staging directory: %w", err)
	}
	return nil
}
