package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

const (
	// blockSize is that of file systems and loop devices, in bytes; fscrypt
	// wants no more than a page, and direct I/O no less than the disk's.
	blockSize = 4096
	// features are all that a file system has: those of ext4 that grow online
	// and work under overlayfs, whatever the machine's mke2fs.conf says.
	// inline_data is not among them: it keeps short files in the inode.
	features = "none,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super," +
		"large_file,huge_file,dir_nlink,extra_isize,metadata_csum,encrypt"
	// small is where one inode for 16 KiB gets too few for many small files.
	small = 512 << 20
)

// makeImage makes an image with an empty file system: all of it, or nothing.
func (v *Vault) makeImage(ctx context.Context, path string, size int64, reserve, journal bool) (err error) {
	size = roundSize(size)
	free, err := freeDisk(v.dirs.dir)
	if err != nil {
		return err
	}
	if size > free || size < minSize {
		return noSpace(nil, max(size, minSize), free)
	}
	// A killed process may leave its mkfs running: a random name keeps that away
	// from what comes next.
	f, err := os.CreateTemp(v.dirs.tmp(), "*"+imageSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	defer f.Close()
	if err := resizeFile(f, size, reserve); err != nil {
		return err
	}
	if err := v.makeExt4(ctx, f.Name(), size, journal); err != nil {
		return err
	}
	v.cfg.step("made")
	// mkfs makes holes where it wants zeroes.
	if err := resizeFile(f, size, reserve); err != nil {
		return err
	}
	if err := f.Sync(); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return noSpace(err, size, free)
	} else if err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// resizeFile gives an image its size, with the disk space where that is asked
// for and the file system below can do it.
func resizeFile(f *os.File, size int64, reserve bool) error {
	if reserve {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return status.Wrap(err, status.ResourceExhausted, "vault.space", "the disk has no room for %s", bytesText(size)).
				WithHint("free some space, or ask for less")
		} else if err == nil || !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return f.Truncate(size)
}

// toolOutput bounds what is kept of mkfs's complaints, in bytes.
const toolOutput = 4 << 10

func (v *Vault) makeExt4(ctx context.Context, image string, size int64, journal bool) error {
	tool, err := findMkfs()
	if err != nil {
		return err
	}
	feat, ratio := features, "16384"
	if journal {
		feat += ",has_journal"
	}
	if size < small {
		ratio = "4096"
	}
	// The file is all zeroes: there is nothing to clear or to discard.
	cmd := exec.CommandContext(ctx, tool, "-q", "-F", "-b", strconv.Itoa(blockSize), "-I", "256", "-i", ratio, "-m", "0", "-O", feat,
		"-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", image)
	cmd.Env = []string{"MKE2FS_CONFIG=/dev/null", "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// It dies with this thread, and so with the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting mkfs.ext4: %w", err)
	}
	v.cfg.step("mkfs")
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := out.Bytes()[:min(out.Len(), toolOutput)]
		return fmt.Errorf("making a file system: %w: %s", err, bytes.TrimSpace(text))
	}
	return nil
}

// findMkfs looks where root's programs are, which a service may have no PATH to.
func findMkfs() (string, error) {
	for _, name := range []string{"mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", status.New(status.Unimplemented, "vault.mkfs", "mkfs.ext4 is not here").WithHint("install e2fsprogs")
}

func roundSize(n int64) int64 { return n / blockSize * blockSize }

// freeDisk is how many bytes the disk of a directory has free.
func freeDisk(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

func noSpace(cause error, want, free int64) error {
	return status.Wrap(cause, status.ResourceExhausted, "vault.space", "the disk has %s free, storage needs %s", bytesText(free), bytesText(want)).
		WithHint("free some space, or ask for less")
}

// makeDir makes a directory, or gives one that is there its mode.
func makeDir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return os.Chmod(path, mode)
}

// openDirectory opens a directory, never through a link in its last part.
func openDirectory(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
