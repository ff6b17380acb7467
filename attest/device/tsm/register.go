package tsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"apocryph/proto/status"
)

// RTMR3 is the pod log's register of a TDX guest, as Linux shows it since 6.16: a
// read returns its value, a write of 48 bytes extends it
// (Documentation/ABI/testing/sysfs-devices-virtual-misc-tdx_guest). Firmware and
// kernel leave it at zeros.
const RTMR3 = "/sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384"

const rtmrSize = 48

// Measurement is a register that can be read and extended.
type Measurement interface {
	// Value is 48 bytes.
	Value() ([]byte, error)
	// Extend sets the register to SHA-384(value || digest).
	Extend(digest []byte) error
}

// Register is run-time measurement register 3, into which the provider extends
// its pod log.
type Register struct {
	d    *Device
	file Measurement
}

// Register returns the pod log's register, and false where this machine has none:
// on SEV-SNP always, and on TDX with a kernel that does not show it.
func (d *Device) Register() (*Register, bool) {
	if d.cfg.Register == nil {
		return nil, false
	}
	return &Register{d: d, file: d.cfg.Register}, true
}

// Name is "rtmr3", as claims write it.
func (*Register) Name() string { return "rtmr3" }

// Extend extends the register. After an error it may have been extended all the
// same: [Register.Values] tells. There is no SHA-256 bank.
func (r *Register) Extend(ctx context.Context, _ [32]byte, sha384 [48]byte) error {
	err := r.d.do(ctx, func() error { return r.file.Extend(sha384[:]) })
	if err != nil {
		return fmt.Errorf("extending the pod log's register: %w", err)
	}
	return nil
}

// Values returns the register's 48 bytes, and nil for SHA-256.
func (r *Register) Values(ctx context.Context) (_, sha384 []byte, err error) {
	err = r.d.do(ctx, func() (err error) {
		sha384, err = r.file.Value()
		return err
	})
	if err == nil && len(sha384) != rtmrSize {
		err = status.New(status.Unavailable, "tsm.register", "the register has %d bytes, want %d", len(sha384), rtmrSize)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the pod log's register: %w", err)
	}
	return nil, sha384, nil
}

// measurementFile is the kernel's file of a register.
type measurementFile string

// OpenRegister returns the file of a register, nil where there is none.
func OpenRegister(path string) (Measurement, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("looking for the pod log's register: %w", err)
	}
	return measurementFile(path), nil
}

func (f measurementFile) Value() ([]byte, error) { return os.ReadFile(string(f)) }

// Extend writes all bytes at once: each write is one extension.
func (f measurementFile) Extend(digest []byte) error {
	file, err := os.OpenFile(string(f), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(digest)
	return errors.Join(err, file.Close())
}
