package providerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// lockDir makes the data directory and keeps other providers out of it until
// the returned function is called. The directory can be passed through, for
// the root file systems of pods are below it; what is secret is 0600 or 0700.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o711); errors.Is(err, fs.ErrPermission) {
		return nil, status.Wrap(err, status.PermissionDenied, "provider.data_dir", "making the data directory").
			WithHint("start the provider as root, or choose another --data-dir")
	} else if err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, status.New(status.Conflict, "provider.running", "another provider runs on %s", dir).
			WithHint("stop it, or give this one another --data-dir")
	}
	return func() { _ = f.Close() }, nil
}
