package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	epochTag   = "apocryph/attest/0.0.1/boot\x00"
	bootIDFile = "/proc/sys/kernel/random/boot_id"
)

// BootEpoch returns 32 bytes that are new at every boot: a hash of the TPM's
// reset and restart counters and of the kernel's boot id.
func (d *Device) BootEpoch(ctx context.Context) ([]byte, error) {
	bootID, err := os.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("reading boot id: %w", err)
	}
	var clock tpm2.TPMSClockInfo
	err = d.do(ctx, "reading the TPM's clock", func(t transport.TPM) error {
		r, err := tpm2.ReadClock{}.Execute(t)
		if err != nil {
			return err
		}
		clock = r.CurrentTime.ClockInfo
		return nil
	})
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write([]byte(epochTag))
	h.Write(binary.BigEndian.AppendUint32(nil, clock.ResetCount))
	h.Write(binary.BigEndian.AppendUint32(nil, clock.RestartCount))
	h.Write(bytes.TrimSpace(bootID))
	return h.Sum(nil), nil
}
