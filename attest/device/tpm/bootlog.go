package tpm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"apocryph/attest"
)

// BootLog is where Linux shows the event log that the firmware of this boot
// wrote, while securityfs is mounted.
const BootLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

// readBootLog reads a log whole: cut, it would replay to other registers.
func readBootLog(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	log, err := io.ReadAll(io.LimitReader(f, attest.MaxBootLog+1))
	if err == nil && len(log) > attest.MaxBootLog {
		err = fmt.Errorf("got more than %d bytes", attest.MaxBootLog)
	}
	return log, err
}
