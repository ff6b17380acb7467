package tpm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"apocryph/proto/status"
)

// lockTPM takes the exclusive lock of the TPM at path. The system gives it up
// when the process ends, however it ends.
func lockTPM(path, dir string, device *os.File) (*os.File, error) {
	f := device
	if dir != "" || device == nil {
		name := path + ".lock"
		if dir != "" {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				return nil, fmt.Errorf("locking the TPM: %w", err)
			}
			sum := sha256.Sum256([]byte(real))
			name = filepath.Join(dir, "tpm-"+hex.EncodeToString(sum[:8])+".lock")
		}
		var err error
		if f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, fmt.Errorf("locking the TPM: %w", err)
		}
	}
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if f != device {
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, status.Wrap(err, status.Conflict, "tpm.in_use", "the TPM at %s is used by another provider", path).
			WithHint("one provider per TPM: stop the other one or give this one its own TPM")
	}
	return nil, fmt.Errorf("locking the TPM: %w", err)
}
