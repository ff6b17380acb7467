package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

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
