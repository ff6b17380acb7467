package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep removes the staging directories below parent whose process is gone. It
// is safe beside trees in use, in this process or another.
func Sweep(parent string) error { return SweepPrefix(parent, stagingPrefix) }

// SweepPrefix removes the directories below parent whose names begin with prefix, but
// for those that a process holds with flock(2), as it has to while it uses them.
func SweepPrefix(parent, prefix string) error {
	all, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("listing scratch directories: %w", err)
	}
	var errs []error
	for _, e := range all {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			errs = append(errs, sweep(filepath.Join(parent, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func sweep(dir string) error {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("opening a scratch directory: %w", err)
	}
	defer f.Close()
	if err := lock(f); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	} else if err != nil {
		return fmt.Errorf("locking a scratch directory: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing a scratch directory: %w", err)
	}
	return nil
}
