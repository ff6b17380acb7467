package containerd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"apocryph/provider/containerd/attendant"
)

// bootIDFile has a number that the kernel makes at each boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// bindBoot mounts the directory of this boot where every user namespace can go.
// One that is mounted already is kept: containers live in it.
func bindBoot(l layout) error {
	here, err := os.Stat(l.boot())
	if err != nil {
		return err
	}
	there, err := os.Stat(l.bound())
	if err != nil {
		return err
	}
	if os.SameFile(here, there) {
		return nil
	}
	// That of storage which is lost.
	if err := UnmountBelow(l.bound()); err != nil {
		return err
	}
	if err := unix.Mount(l.boot(), l.bound(), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	// What is mounted inside is not to be seen in the other place.
	return unix.Mount("", l.bound(), "", unix.MS_PRIVATE, "")
}

// clearLastBoot deletes the bundles of containers that a reboot has ended. They
// would lie in a directory that a boot empties, were that not on a disk.
func clearLastBoot(l layout) error {
	now, err := os.ReadFile(bootIDFile)
	if err != nil {
		return err
	}
	mark := filepath.Join(l.boot(), "id")
	if was, err := os.ReadFile(mark); err == nil && bytes.Equal(was, now) {
		return nil
	} else if !missing(err) {
		return err
	}
	for _, dir := range []string{l.state(), l.runcRoot()} {
		if err := mount.UnmountRecursive(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting what is in %s: %w", dir, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := mkdir(l.state(), 0o711, 0); err != nil {
		return err
	}
	return attendant.WriteFile(mark, now, 0o600)
}

// Empty reports whether a [Config.DataDir], which may be missing, has no
// instance, running or not.
func Empty(dataDir string) (bool, error) {
	entries, err := os.ReadDir(layout{data: dataDir}.instances())
	if !missing(err) {
		return false, fmt.Errorf("listing instances: %w", err)
	}
	return len(entries) == 0, nil
}

// UnmountBelow unmounts everything at and below a directory, so that deleting
// it deletes nothing else. What is in use goes when it is not used any more.
func UnmountBelow(dir string) error { return mount.UnmountRecursive(dir, unix.MNT_DETACH) }
