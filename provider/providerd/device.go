package providerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/attest/device/soft"
	"apocryph/attest/device/tpm"
	"apocryph/proto/status"
	"apocryph/provider"
)

// tpmLockDir holds the locks that keep two providers off one TPM.
const tpmLockDir = runDir

// openDevice opens the device that --tee names, or the best one found.
func openDevice(ctx context.Context, s settings) (provider.Device, func() error, error) {
	kind := s.TEE
	if kind == "auto" {
		if !hasTPM(s.TPM) {
			return nil, nil, status.New(status.Unavailable, "provider.no_tee", "no device that this version can attest with was found: no TPM 2.0 at %s", s.TPM).
				WithHint("`provider doctor` looks closer; --tee soft uses a software device that proves nothing and is for development only")
		}
		kind = "tpm2"
	}
	switch kind {
	case "soft":
		binary := s.Binary
		if binary == "" {
			var err error
			if binary, err = os.Executable(); err != nil {
				return nil, nil, fmt.Errorf("finding the running program: %w", err)
			}
		}
		dir, err := privateDir(s.DataDir, "soft")
		if err != nil {
			return nil, nil, err
		}
		d, err := soft.Open(dir, binary, time.Now)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the software device: %w", err)
		}
		return d, func() error { return nil }, nil
	case "tpm2":
		dir, err := privateDir(s.DataDir, "tpm")
		if err != nil {
			return nil, nil, err
		}
		if err := os.MkdirAll(tpmLockDir, 0o711); err != nil {
			return nil, nil, fmt.Errorf("making the directory of locks: %w", err)
		}
		d, err := tpm.Open(ctx, tpm.Config{Path: s.TPM, StateDir: dir, LockDir: tpmLockDir, EKChain: s.ekChain})
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	}
	return nil, nil, status.New(status.Unimplemented, "provider.tee", "this version cannot attest with %s", kind).
		WithHint("--tee tpm2 uses a TPM 2.0")
}

// bootIDFile has a number that the kernel makes at each boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// bootEpoch is 32 bytes that are new at every boot: the device's own, which may
// count resets, or a hash of the kernel's boot id.
func bootEpoch(ctx context.Context, d provider.Device) ([]byte, error) {
	if e, ok := d.(interface {
		BootEpoch(ctx context.Context) ([]byte, error)
	}); ok {
		return e.BootEpoch(ctx)
	}
	id, err := os.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("reading the boot id: %w", err)
	}
	sum := sha256.Sum256(append([]byte("apocryph/attest/0.0.1/boot\x00"), bytes.TrimSpace(id)...))
	return sum[:], nil
}

// privateDir makes a directory that nobody else can look into.
func privateDir(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making %s: %w", dir, err)
	}
	return dir, nil
}

func hasTPM(path string) bool {
	_, err := os.Stat(strings.TrimPrefix(path, "unix:"))
	return err == nil
}
