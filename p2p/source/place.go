package source

import (
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// exec says how a file gets its mode.
type exec int

const (
	plain exec = iota
	executable
	// execByContent is for files that come without a mode: a form's part, or a
	// zip made on Windows. Programs are executable.
	execByContent
)

func execOf(mode fs.FileMode) exec {
	if mode&0o111 != 0 {
		return executable
	}
	return plain
}

// claim takes a name for this part. It reports whether a directory is there
// already, under this very name, when a directory is asked for.
func (p *part) claim(name string, dir bool) (bool, error) {
	t := p.t
	key := maphash.String(t.seed, fold(name))
	if by, ok := t.seen[key]; ok {
		old, info, err := t.find(name)
		switch {
		case err != nil:
			return false, hostError("looking for "+quote(name), err)
		case old == name && dir && info.IsDir():
			return true, nil
		case old != "":
			return false, p.refuse(ReasonConflict, name, kindOf(info.Mode())+" "+quote(old)+" of part "+strconv.Itoa(int(by)), "each name once, whatever its case and Unicode form")
		}
		// Two names with one hash: chance alone, as nobody knows the seed.
	}
	if t.entries >= t.limits.Entries {
		return false, p.tooLarge(name, "more", int64(t.limits.Entries), "entries")
	}
	t.entries++
	t.seen[key] = p.number
	return false, nil
}

// find looks for name, or for what folds to the same, in name's directory,
// which is there. It returns "" when there is none.
func (t *Tree) find(name string) (string, fs.FileInfo, error) {
	info, err := t.root.Lstat(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return name, info, err
	}
	dir, err := t.root.Open(parent(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	} else if err != nil {
		return "", nil, err
	}
	defer dir.Close()
	want := fold(name)
	for {
		names, err := dir.Readdirnames(128)
		for _, n := range names {
			if old := path.Join(parent(name), n); fold(old) == want {
				info, err := t.root.Lstat(old)
				return old, info, err
			}
		}
		if err == io.EOF {
			return "", nil, nil
		} else if err != nil {
			return "", nil, err
		}
	}
}

// enter opens the directory name, and makes what is missing of it. No
// component of it is a link: os.Root would follow one within the tree, and the
// entry would land under another name than the one that was checked.
func (p *part) enter(name string) (*os.Root, error) {
	t := p.t
	if t.cur != nil && t.curPath == name {
		return t.cur, nil
	}
	done := t.curPath
	t.leave()
	if name == "." {
		t.cur, t.curPath = t.root, "."
		return t.cur, nil
	}
	for end := range name {
		if name[end] == '/' {
			if err := p.ensure(name[:end], done); err != nil {
				return nil, err
			}
		}
	}
	if err := p.ensure(name, done); err != nil {
		return nil, err
	}
	dir, err := t.root.OpenRoot(name)
	if err != nil {
		return nil, hostError("opening "+quote(name), err)
	}
	t.cur, t.curPath = dir, name
	return dir, nil
}

// ensure makes one directory whose parent is there; done is a directory that
// was found good before.
func (p *part) ensure(name, done string) error {
	if name == done || strings.HasPrefix(done, name+"/") {
		return nil
	}
	if info, err := p.t.root.Lstat(name); err == nil && !info.IsDir() {
		return p.unsafe(name, "entries below "+kindOf(info.Mode()), "entries below directories alone")
	}
	there, err := p.claim(name, true)
	if err != nil || there {
		return err
	}
	if err := p.t.root.Mkdir(name, 0o700); err != nil {
		return hostError("making "+quote(name), err)
	}
	// Not by the mode of Mkdir, which the umask narrows.
	if err := p.t.root.Chmod(name, 0o755); err != nil {
		return hostError("making "+quote(name), err)
	}
	return nil
}

// dir adds a directory, or finds it.
func (p *part) dir(name string) error {
	if name == "." {
		return nil
	}
	if _, err := p.enter(parent(name)); err != nil {
		return err
	}
	if info, err := p.t.root.Lstat(name); err == nil && !info.IsDir() {
		_, err := p.claim(name, false)
		return err
	}
	_, err := p.enter(name)
	return err
}

// take enters the directory of a name that is no directory, and claims the name.
func (p *part) take(name string) (*os.Root, error) {
	if name == "." {
		return nil, p.unsafe(name, "the root of the tree as a file", wantName)
	}
	dir, err := p.enter(parent(name))
	if err != nil {
		return nil, err
	}
	_, err = p.claim(name, false)
	return dir, err
}

func (p *part) file(name string, r io.Reader, x exec) (err error) {
	dir, err := p.take(name)
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return hostError("making "+quote(name), err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = hostError("writing "+quote(name), closed)
		}
	}()
	head, err := p.copy(f, name, r)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if x == executable || x == execByContent && isProgram(head) {
		mode = 0o755
	}
	if err := f.Chmod(mode); err != nil {
		return hostError("writing "+quote(name), err)
	}
	return nil
}

// symlink adds a link whose target stays within the tree by its letters. That
// it does so through other links too is for [Tree.check], when all are there.
func (p *part) symlink(name, target string) error {
	if err := p.target(name, target); err != nil {
		return err
	}
	dir, err := p.take(name)
	if err != nil {
		return err
	}
	if err := dir.Symlink(target, path.Base(name)); err != nil {
		return hostError("linking "+quote(name), err)
	}
	p.t.links++
	return nil
}

// hardlink copies the file old, of this part or an earlier one: both names
// count in full, and writing to one never changes the other.
func (p *part) hardlink(name, old string) error {
	const want = "a file that came before"
	for end := range old {
		if old[end] != '/' {
			continue
		}
		if info, err := p.t.root.Lstat(old[:end]); err == nil && !info.IsDir() {
			return p.unsafe(name, "a link to "+quote(old)+" through "+kindOf(info.Mode()), want)
		}
	}
	info, err := p.t.root.Lstat(old)
	if errors.Is(err, fs.ErrNotExist) {
		return p.unsafe(name, "a link to "+quote(old)+", which is not there", want)
	} else if err != nil {
		return hostError("reading "+quote(old), err)
	}
	if !info.Mode().IsRegular() {
		return p.unsafe(name, "a link to "+quote(old)+", which is "+kindOf(info.Mode()), want)
	}
	f, err := p.t.root.Open(old)
	if err != nil {
		return hostError("reading "+quote(old), err)
	}
	defer f.Close()
	return p.file(name, f, execOf(info.Mode()))
}
