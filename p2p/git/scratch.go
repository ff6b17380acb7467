package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/p2p/source"
)

// scratchPrefix marks the directories that [Sweep] looks at.
const scratchPrefix = ".git-"

// inside is the scratch directory as git sees it: an open file. The directories
// above it are closed to the user that git runs as.
const inside = "/proc/self/fd/3"

// settings is git's configuration, which may have a credential: a file in memory.
const settings = "/proc/self/fd/4"

// scratch is a bare repository for one call.
type scratch struct {
	dir string
	// f is the open directory, locked, which git gets as its third file.
	f *os.File
	// settings is the configuration, which git gets as its fourth file. It is on no
	// disk: a process that is killed leaves no credential behind.
	settings *os.File
}

// newScratch makes an empty repository that belongs to the user uid, or to
// this process where uid is negative. It is not made by git init, which wants
// to walk the directories above.
func newScratch(parent string, uid int, config string) (_ *scratch, err error) {
	dir, err := os.MkdirTemp(parent, scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a scratch repository: %w", err)
	}
	s := &scratch{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("making a scratch repository: %w", err), s.remove())
		}
	}()
	if s.f, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err = unix.Flock(int(s.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	if s.settings, err = inMemory(config); err != nil {
		return nil, err
	}
	files := map[string]string{
		"HEAD":   "ref: refs/heads/none\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	}
	for _, d := range []string{"objects", "refs", "tmp"} {
		if err = os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	for name, text := range files {
		if err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if uid < 0 {
		return s, nil
	}
	err = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, uid)
	})
	return s, err
}

// size is what lies in the directory. Files come and go while it looks.
func (s *scratch) size() (sum int64) {
	_ = filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func (s *scratch) remove() error {
	err := os.RemoveAll(s.dir)
	if s.f != nil {
		s.f.Close()
	}
	if s.settings != nil {
		s.settings.Close()
	}
	return err
}

// inMemory is a file of memory that nobody can change.
func inMemory(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("gitconfig", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "gitconfig")
	if _, err := f.WriteString(text); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), f.Close())
	}
	return f, nil
}

// Sweep removes what crashed processes have left in a scratch directory. It is
// safe beside fetchers in use.
func Sweep(dir string) error {
	return errors.Join(source.Sweep(dir), source.SweepPrefix(dir, scratchPrefix))
}
