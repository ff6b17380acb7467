package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// resizeFS is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64).
const resizeFS = 0x40086610

// Grow lets private storage hold size bytes, while it is used. A size below
// what it has is refused (invalid_argument, "vault.shrink"), a disk without
// room too (resource_exhausted, "vault.space"), and a process without
// CAP_SYS_RESOURCE (permission_denied, "vault.resize").
func (v *Vault) Grow(ctx context.Context, size int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.usable(ctx); err != nil {
		return err
	}
	cfg := v.cfg
	cfg.Kind, cfg.Size, cfg.Fallback = v.kind, size, false
	if err := cfg.check(); err != nil {
		return err
	}
	switch v.kind {
	case TmpFS:
		var st unix.Statfs_t
		if err := unix.Statfs(v.dirs.mount(), &st); err != nil {
			return err
		}
		if now := int64(st.Blocks) * st.Bsize; size < now {
			return noShrink(size, now)
		}
		return growMemory(v.dirs.mount(), size)
	case None:
		return nil
	}
	dev, err := findLoop(v.dirs.image())
	if err != nil {
		return err
	}
	defer dev.close()
	if now, err := ext4Size(dev.f); err != nil {
		return err
	} else if roundSize(size) < now {
		return noShrink(size, now)
	}
	return v.growImage(v.dirs.image(), dev, v.dirs.mount(), size, v.cfg.Reserve)
}

// growImage makes a mounted file system as large as size, if it is smaller:
// first the file, then the device, then the file system. Each step can be done
// again, so that one that was interrupted is finished by the next call.
func (v *Vault) growImage(image string, dev *loop, mount string, size int64, reserve bool) error {
	size = roundSize(size)
	now, err := ext4Size(dev.f)
	if err != nil || size <= now {
		return err
	}
	f, err := os.OpenFile(image, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	need := size - now
	if reserve {
		// What an interrupted growth has reserved is there.
		need = size - max(now, st.Size())
	}
	if free, err := freeDisk(v.dirs.dir); err != nil {
		return err
	} else if need > free {
		return noSpace(nil, need, free)
	}
	if able, err := canResize(); err != nil {
		return err
	} else if !able {
		// The other way, resize2fs on what is not mounted, does not survive a crash.
		return status.New(status.PermissionDenied, "vault.resize", "storage cannot grow: the kernel wants CAP_SYS_RESOURCE for it").
			WithHint("give the provider CAP_SYS_RESOURCE")
	}
	// The file of a growth that was interrupted may be larger than asked for now.
	if err := resizeFile(f, max(size, st.Size()), reserve); err != nil {
		// Space that was taken in part is given back.
		return errors.Join(err, f.Truncate(st.Size()))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	v.cfg.step("extended")
	if err := ioctl(dev.f, unix.LOOP_SET_CAPACITY, nil); err != nil {
		return fmt.Errorf("growing the device: %w", err)
	}
	v.cfg.step("capacity")
	root, err := openDirectory(mount)
	if err != nil {
		return err
	}
	defer root.Close()
	blocks := uint64(size / blockSize)
	if err := ioctl(root, resizeFS, unsafe.Pointer(&blocks)); err != nil {
		return fmt.Errorf("growing the file system: %w", err)
	}
	if !reserve {
		return nil
	}
	// The kernel makes holes where it wants zeroes.
	return resizeFile(f, max(size, st.Size()), reserve)
}

// canResize reports whether this process has CAP_SYS_RESOURCE, which root in a
// container may lack.
func canResize() (bool, error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	err := unix.Capget(&head, &sets[0])
	return sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0, err
}

func noShrink(want, now int64) error {
	return status.New(status.InvalidArgument, "vault.shrink", "the storage has %s and cannot shrink to %s", bytesText(now), bytesText(want)).
		WithHint("ask for at least %s", bytesText(now))
}
