package tsm

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"github.com/google/go-sev-guest/abi"

	"apocryph/attest"
)

// Offsets in an ATTESTATION_REPORT (56860, table 23), in bytes.
const (
	atSigner     = 0x48
	atReportData = 0x50
)

// The table of certificates that a host gives (GHCB specification, 56421,
// 4.1.8.1): entries of GUID, offset and length, then one of zeros.
const (
	guidSize  = 16
	entrySize = guidSize + 4 + 4
	// maxEntries bounds a table: four kinds of certificates are known.
	maxEntries = 32
)

// The GUIDs of certificates. AMD gives the signing certificate of loaded keys
// (ASVK) no other one than that of chips' keys.
var (
	guidVCEK = [guidSize]byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	guidVLEK = [guidSize]byte{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1}
	guidASK  = [guidSize]byte{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82}
	guidARK  = [guidSize]byte{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae}
)

// cutReport cuts a report out of the kernel's buffer, and its report data.
func cutReport(b []byte) (report, data []byte, err error) {
	if len(b) < abi.ReportSize {
		return nil, nil, fmt.Errorf("got %d bytes, want %d", len(b), abi.ReportSize)
	}
	report = b[:abi.ReportSize:abi.ReportSize]
	return report, report[atReportData : atReportData+abi.ReportDataSize], nil
}

// chainOf picks the chain of a report's signer out of a host's table, leaf
// first. Certificates above the leaf are taken as far as they fit: a verifier
// knows AMD's own. Nil means that the host gave none.
func chainOf(report, table []byte) [][]byte {
	certs := parseTable(table)
	leaf := guidVCEK
	if len(report) > atSigner && abi.ReportSigner(report[atSigner]>>2&7) == abi.VlekReportSigner {
		leaf = guidVLEK
	}
	below, err := x509.ParseCertificate(certs[leaf])
	if err != nil {
		return nil
	}
	chain := [][]byte{certs[leaf]}
	for _, guid := range [][guidSize]byte{guidASK, guidARK} {
		above, err := x509.ParseCertificate(certs[guid])
		if err != nil || !bytes.Equal(above.RawSubject, below.RawIssuer) {
			break
		}
		chain, below = append(chain, certs[guid]), above
	}
	return chain
}

// parseTable returns the certificates of a table by GUID. What is malformed or
// longer than a certificate may be is as if it were not there: the host is free
// to give nothing.
func parseTable(table []byte) map[[guidSize]byte][]byte {
	out := map[[guidSize]byte][]byte{}
	for i := range maxEntries {
		if len(table) < (i+1)*entrySize {
			break
		}
		entry := table[i*entrySize:]
		offset := uint64(binary.LittleEndian.Uint32(entry[guidSize:]))
		length := uint64(binary.LittleEndian.Uint32(entry[guidSize+4:]))
		if offset == 0 && length == 0 {
			break
		}
		if length > attest.MaxCertificate || offset+length > uint64(len(table)) {
			continue
		}
		out[[guidSize]byte(entry)] = table[offset : offset+length : offset+length]
	}
	return out
}
