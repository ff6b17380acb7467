package tsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"apocryph/attest"
)

// CCEL is where the kernel shows the event log area of confidential firmware
// (ACPI 6.5, 5.2.34).
const CCEL = "/sys/firmware/acpi/tables/data/CCEL"

// The layout of a quote: Intel TDX DCAP Quoting Library API, appendix A.3
// (version 4) and A.4 (version 5).
const (
	quoteHeader = 48
	// quoteBody10 is the body of version 4; version 5 says its own size.
	quoteBody10 = 584
	// bodyHead is the kind (16 bits) and size (32 bits) of a body in version 5.
	bodyHead = 6
	// atBodyReportData is where the report data starts in any body.
	atBodyReportData = 520
	reportDataSize   = 64
)

// cutQuote cuts a quote to its length: platforms hand it out in a larger
// buffer. It also returns its report data.
func cutQuote(b []byte) (quote, data []byte, err error) {
	if len(b) < quoteHeader+bodyHead {
		return nil, nil, fmt.Errorf("a quote of %d bytes", len(b))
	}
	le := binary.LittleEndian
	body, size := uint64(quoteHeader), uint64(quoteBody10)
	switch v := le.Uint16(b); v {
	case 4:
	case 5:
		size = uint64(le.Uint32(b[quoteHeader+2:]))
		body += bodyHead
	default:
		return nil, nil, fmt.Errorf("a quote of version %d", v)
	}
	end := body + size
	if size < quoteBody10 || end+4 > uint64(len(b)) {
		return nil, nil, fmt.Errorf("a quote whose body of %d bytes does not fit into %d", size, len(b))
	}
	length := end + 4 + uint64(le.Uint32(b[end:]))
	if length > uint64(len(b)) {
		return nil, nil, fmt.Errorf("a quote of %d bytes in %d", length, len(b))
	}
	return b[:length:length], b[body+atBodyReportData:][:reportDataSize], nil
}

// readBootLog reads an event log area, of which the firmware fills the front.
// An absent file is no log.
func readBootLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	log, err := io.ReadAll(io.LimitReader(f, maxArea+1))
	if err != nil {
		return nil, err
	}
	if len(log) <= attest.MaxBootLog {
		return log, nil
	}
	// What the firmware did not fill is of one byte, zeros or ones.
	rest := log[attest.MaxBootLog:]
	if bytes.Count(rest, rest[:1]) != len(rest) || len(log) > maxArea {
		return nil, fmt.Errorf("the log has more than %d bytes", attest.MaxBootLog)
	}
	return log[:attest.MaxBootLog], nil
}

// maxArea is in bytes; firmware sets 64 KiB to 1 MiB aside.
const maxArea = 4 << 20
