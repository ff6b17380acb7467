package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile replaces a file so that after a crash either the old or the new
// content is there, whole.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdir makes one directory of exactly this mode and owner, or corrects what is there.
func mkdir(path string, mode fs.FileMode, owner int) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Lchown fails to follow a link, and a link must not be here.
	if st, err := os.Lstat(path); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return errors.Join(os.Lchown(path, owner, owner), os.Chmod(path, mode))
}

// missing tells whether an error only says that something was not there.
func missing(err error) bool { return err == nil || errors.Is(err, fs.ErrNotExist) }
