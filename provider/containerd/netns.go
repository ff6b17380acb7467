package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"apocryph/provider"
)

// pinNamespaces makes the user namespace of an instance and a network namespace
// that it owns, and pins both to files, so that they live without a process.
// The containers of the instance join them. Owning the network namespace is
// what lets root of a container bind low ports and mount sysfs, while it is
// nobody on the host.
func pinNamespaces(l layout, id provider.InstanceID, uids uint32) error {
	if err := withNamespaces(uids, func(pid int) error {
		proc := "/proc/" + strconv.Itoa(pid) + "/ns/"
		return errors.Join(pin(proc+"user", l.userns(id)), pin(proc+"net", l.netns(id)))
	}); err != nil {
		return fmt.Errorf("making namespaces: %w", err)
	}
	return nil
}

// withNamespaces calls fn with a process in new namespaces. The process is
// traced, so that it stops before its first instruction and never runs. It is
// started by root itself and not, as containerd does, in the name of the mapped
// user: who made a user namespace may do everything in it, and runc has to set
// limits there even where the daemon has not every capability.
func withNamespaces(uids uint32, fn func(pid int) error) error {
	// A tracer is a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mapping := []syscall.SysProcIDMap{{HostID: int(uids), Size: rangeSize}}
	p, err := os.StartProcess("/proc/self/exe", []string{"apocryph-namespaces"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings:                mapping,
		GidMappings:                mapping,
		GidMappingsEnableSetgroups: true,
		Ptrace:                     true,
		Pdeathsig:                  syscall.SIGKILL,
	}})
	if err != nil {
		return err
	}
	err = fn(p.Pid)
	if kerr := p.Kill(); kerr != nil {
		return errors.Join(err, kerr)
	}
	_, werr := p.Wait()
	return errors.Join(err, werr)
}

func pin(ns, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return unix.Mount(ns, path, "none", unix.MS_BIND, "")
}

// pinned tells whether a path is a live namespace, and not the bare file that
// a reboot leaves where the directory is not in memory.
func pinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// unpinNamespaces lets the namespaces of an instance go; the kernel deletes
// them, and the interfaces in them, when no process is left.
func unpinNamespaces(l layout, id provider.InstanceID) error {
	var errs error
	for _, path := range []string{l.netns(id), l.userns(id)} {
		if err := mount.UnmountAll(path, unix.MNT_DETACH); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, fmt.Errorf("unmounting %s: %w", path, err))
			continue
		}
		if err := os.Remove(path); !missing(err) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// inNetns runs fn on a thread that is in a network namespace. The thread is
// given up afterwards: it could not be trusted to be back.
func inNetns(path string, fn func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering network namespace: %w", err)
			return
		}
		done <- fn()
	}()
	return <-done
}
