package vault

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// mountFlags forbid devices and set-user-id programs. Overlays on top have
// flags of their own.
const mountFlags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOATIME

// mountExt4 mounts a device unless it is mounted there already. What is mounted
// over it, or in its place, goes. With discard, what is deleted gives its disk space back.
func mountExt4(dev *loop, dir string, discard bool) error {
	for {
		here, err := mountedDevice(dir)
		if err != nil || here == dev.rdev {
			return err
		}
		if here == 0 {
			break
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
	}
	if err := makeDir(dir, 0o711); err != nil {
		return err
	}
	// The file system was made on zeroes: there are no inode tables to clear.
	opts := "errors=remount-ro,noinit_itable"
	if discard {
		opts += ",discard"
	}
	if err := unix.Mount(dev.path(), dir, "ext4", mountFlags, opts); errors.Is(err, unix.ENODEV) {
		return status.Wrap(err, status.Unimplemented, "vault.ext4", "the kernel has no ext4").
			WithHint("use a kernel with CONFIG_EXT4_FS and CONFIG_FS_ENCRYPTION")
	} else if errors.Is(err, unix.EPERM) {
		return status.Wrap(err, status.Unimplemented, "vault.mount", "the machine lets root mount nothing").
			WithHint("give the provider's container CAP_SYS_ADMIN")
	} else if err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	return os.Chmod(dir, 0o711)
}

func mountMemory(dir string, size int64) error {
	opts := "mode=0711,size=" + strconv.FormatInt(size, 10)
	// noswap is known since Linux 6.3; Probe tells about swap.
	err := unix.Mount("apocryph", dir, "tmpfs", mountFlags, opts+",noswap")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("apocryph", dir, "tmpfs", mountFlags, opts)
	}
	return err
}

// growMemory raises the limit of a mounted tmpfs to size.
func growMemory(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if int64(st.Blocks)*st.Bsize >= size {
		return nil
	}
	if err := unix.Mount("apocryph", dir, "tmpfs", unix.MS_REMOUNT|mountFlags, "size="+strconv.FormatInt(size, 10)); err != nil {
		return fmt.Errorf("growing memory: %w", err)
	}
	return nil
}

// isMount reports whether something is mounted on a directory, which may be
// missing.
func isMount(dir string) (bool, error) {
	st, err := statMount(dir)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, err
}

// mountedDevice is the device number of what is mounted on a directory, 0 for
// nothing.
func mountedDevice(dir string) (uint64, error) {
	st, err := statMount(dir)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return 0, err
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}

// mountedType is the magic number of the file system mounted on a directory, 0
// for none.
func mountedType(dir string) (int64, error) {
	if mounted, err := isMount(dir); err != nil || !mounted {
		return 0, err
	}
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return int64(st.Type), err
}

func statMount(dir string) (unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
	if errors.Is(err, unix.ENOENT) {
		return unix.Statx_t{}, nil
	} else if err != nil {
		return st, &os.PathError{Op: "statx", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st, fmt.Errorf("%s is not a directory", dir)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return st, status.New(status.Unimplemented, "vault.kernel", "the kernel does not tell mount points").
			WithHint("use Linux 5.8 or newer")
	}
	return st, nil
}

// unmount takes away everything that is mounted on a directory.
func unmount(dir string, flags int) error {
	for {
		if mounted, err := isMount(dir); err != nil || !mounted {
			return err
		}
		if err := unix.Unmount(dir, flags|unix.UMOUNT_NOFOLLOW); errors.Is(err, unix.EBUSY) {
			return status.Wrap(err, status.Conflict, "vault.busy", "the storage at %s is in use", dir)
		} else if err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
	}
}

// mountsBelow lists what is mounted below a directory.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mountPoints(f, dir+"/")
}

// mountPoints reads the mount points that have a prefix from a table in the
// format of proc_pid_mountinfo(5).
func mountPoints(r io.Reader, prefix string) ([]string, error) {
	var found []string
	s := bufio.NewScanner(r)
	// An overlay's line has the paths of all its layers.
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		fields := strings.SplitN(s.Text(), " ", 6)
		// Paths here need no escapes (Config.Dir); others stay escaped.
		if len(fields) == 6 && strings.HasPrefix(fields[4], prefix) {
			found = append(found, fields[4])
		}
	}
	return found, s.Err()
}
