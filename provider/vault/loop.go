package vault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// loop is a loop device that is held open. A device that is not mounted goes
// away with the last holder (autoclear).
type loop struct {
	f *os.File
	// rdev is the device number.
	rdev uint64
}

func (l *loop) path() string { return l.f.Name() }

func (l *loop) close() error { return l.f.Close() }

// attachTries bounds how often a device may be snatched away by others.
const attachTries = 64

var errNotAttached = errors.New("the image is on no loop device")

// findLoop returns the device that has an image, which is known by its file:
// an image must never be on two devices.
func findLoop(image string) (*loop, error) {
	var want unix.Stat_t
	if err := unix.Lstat(image, &want); errors.Is(err, unix.ENOENT) {
		return nil, errors.New("there is no image")
	} else if err != nil {
		return nil, &os.PathError{Op: "lstat", Path: image, Err: err}
	}
	// The directory "loop" is there while a device has a file.
	bound, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return nil, err
	}
	for _, b := range bound {
		path := "/dev/" + filepath.Base(filepath.Dir(b))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			// It went away, or is the read-only one of somebody else.
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
		// The number of the file system is in the kernel's wide encoding.
		if err == nil && info.Inode == want.Ino &&
			unix.Major(info.Device) == unix.Major(want.Dev) && unix.Minor(info.Device) == unix.Minor(want.Dev) {
			return newLoop(f)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return nil, errNotAttached
}

func newLoop(f *os.File) (*loop, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &loop{f: f, rdev: st.Rdev}, nil
}

// attachLoop puts an image on a free device, past the page cache of the file
// system below where that is possible.
func attachLoop(image string) (*loop, error) {
	img, err := os.OpenFile(image, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, noLoop(err)
	}
	defer control.Close()
	for range attachTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, noLoop(err)
		}
		f, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, noLoop(err)
		}
		cfg := unix.LoopConfig{Fd: uint32(img.Fd()), Size: blockSize, Info: unix.LoopInfo64{
			Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO,
		}}
		// For people who look at the list of devices.
		copy(cfg.Info.File_name[:len(cfg.Info.File_name)-1], image)
		err = unix.IoctlLoopConfigure(int(f.Fd()), &cfg)
		if err == nil {
			return newLoop(f)
		}
		if closeErr := f.Close(); closeErr != nil {
			return nil, closeErr
		}
		if !errors.Is(err, unix.EBUSY) {
			return nil, noLoop(err)
		}
	}
	return nil, status.New(status.Unavailable, "vault.loop", "every free loop device was taken by somebody else")
}

func noLoop(err error) error {
	for _, no := range []error{os.ErrNotExist, os.ErrPermission, unix.ENXIO, unix.ENODEV, unix.ENOTTY, unix.EINVAL} {
		if errors.Is(err, no) {
			return status.Wrap(err, status.Unimplemented, "vault.loop", "the machine gives no loop device").
				WithHint("load the module loop of Linux 5.8 or newer; in a container, pass /dev/loop-control and /dev/loop*")
		}
	}
	return fmt.Errorf("attaching a loop device: %w", err)
}
