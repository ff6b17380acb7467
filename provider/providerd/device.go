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

	"apocryph/attest"
	"apocryph/attest/device/soft"
	"apocryph/attest/device/tpm"
	"apocryph/proto/status"
	"apocryph/provider"
)

// tpmLockDir holds the locks that keep two providers off one TPM.
const tpmLockDir = runDir

// opened is a device and what goes with it.
type opened struct {
	provider.Device
	// run is what the device needs beside it until its context ends, or nil.
	run   func(context.Context) error
	close func() error
}

// openDevice opens the device that --tee names, or the best one found: a
// confidential machine's, then a TPM.
func openDevice(ctx context.Context, s settings) (*opened, error) {
	kind := s.TEE
	if kind == "auto" {
		found := s.probe()
		t, ok := found.Type()
		switch {
		case ok:
			kind = string(t)
		case hasTPM(s.tpmPath()):
			kind = "tpm2"
		default:
			return nil, status.New(status.Unavailable, "provider.no_tee", "no device to attest with was found: neither an SEV-SNP or TDX guest's, nor a TPM 2.0 at %s", s.tpmPath()).
				WithHint("`provider doctor` looks closer; --tee soft uses a software device that proves nothing and is for development only")
		}
	}
	switch kind {
	case "soft":
		d, err := openSoft(s)
		return s.bind(ctx, d, err)
	case "tpm2":
		return openTPM(ctx, s)
	}
	d, err := openTSM(s, attest.Type(kind))
	return s.bind(ctx, d, err)
}

func openSoft(s settings) (*opened, error) {
	binary := s.Binary
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("finding the running program: %w", err)
		}
	}
	dir, err := privateDir(s.DataDir, "soft")
	if err != nil {
		return nil, err
	}
	d, err := soft.Open(dir, binary, time.Now)
	if err != nil {
		return nil, fmt.Errorf("opening the software device: %w", err)
	}
	return &opened{Device: d, close: func() error { return nil }}, nil
}

func openTPM(ctx context.Context, s settings) (*opened, error) {
	d, err := s.tpm(ctx)
	if err != nil {
		return nil, err
	}
	return &opened{Device: d, close: d.Close}, nil
}

// tpm opens the TPM.
func (s settings) tpm(ctx context.Context) (*tpm.Device, error) {
	dir, err := privateDir(s.DataDir, "tpm")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(tpmLockDir, 0o711); err != nil {
		return nil, fmt.Errorf("making the directory of locks: %w", err)
	}
	return tpm.Open(ctx, tpm.Config{Path: s.tpmPath(), StateDir: dir, LockDir: tpmLockDir, EKChain: s.ekChain, BootLog: s.bootLog()})
}

// bootLog is the file of the event log that belongs to the TPM: an emulator's
// has to be named, for the machine's own would be another TPM's.
func (s settings) bootLog() string {
	if s.TPMBootLog == "" && !strings.HasPrefix(s.tpmPath(), "unix:") {
		return tpm.BootLog
	}
	return s.TPMBootLog
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
	if path == NoTPM {
		return false
	}
	_, err := os.Stat(strings.TrimPrefix(path, "unix:"))
	return err == nil
}
