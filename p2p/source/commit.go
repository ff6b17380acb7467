package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// Commit moves the tree to dst, which must not exist and lies on the same file
// system, and ends t. At a crash there is either no dst or a whole one. A
// failure removes the tree.
func (t *Tree) Commit(ctx context.Context, dst string) error {
	if t.end != nil {
		return t.end
	}
	if err := t.check(); err != nil {
		return t.fail(err)
	}
	if err := ctx.Err(); err != nil {
		return t.fail(err)
	}
	// One call for the whole file system: an fsync of each of 100,000 files
	// would be as many journal commits.
	if err := unix.Syncfs(int(t.lock.Fd())); err != nil {
		return t.fail(hostError("writing the files to the disk", err))
	}
	t.leave()
	if err := unix.Renameat2(unix.AT_FDCWD, t.dir, unix.AT_FDCWD, dst, unix.RENAME_NOREPLACE); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return t.fail(status.Wrap(err, status.Conflict, ReasonConflict, "the place of the files is taken already"))
		}
		return t.fail(hostError("moving the files to their place", err))
	}
	if err := syncDir(filepath.Dir(dst)); err != nil {
		return t.fail(errors.Join(hostError("writing the directory to the disk", err), os.RemoveAll(dst)))
	}
	return t.Close()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
