package verify

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
)

// The product lines, as AMD's certificates name them.
const (
	lineMilan = "Milan"
	lineGenoa = "Genoa"
	lineTurin = "Turin"
)

// endorsementKey is what AMD certifies of a VCEK or VLEK.
type endorsementKey struct {
	line string
	// product is the certificate's product name, with or without a stepping.
	// Some genuine ones are wrong.
	product string
	// tcb is in the packed form of the line's reports.
	tcb uint64
	// chip is 64 bytes for a VCEK, csp the provider's name for a VLEK.
	chip []byte
	csp  string
}

// oidFMC is the version of the first part of Turin's firmware (57230, table 11).
// The library does not know it, which is why this file exists.
var oidFMC = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 9}

// turinChip is the size of a chip id on Turin; reports pad it with zeros.
const turinChip = 8

// maxCSP bounds a cloud provider's name, in bytes.
const maxCSP = 256

// parseEndorsementKey reads the extensions of a VCEK or VLEK certificate
// (57230, tables 8 to 11).
func parseEndorsementKey(cert *x509.Certificate, kind abi.ReportSigner, line string) (*endorsementKey, error) {
	values := make(map[string][]byte, len(cert.Extensions))
	for _, x := range cert.Extensions {
		values[x.Id.String()] = x.Value
	}
	value := func(id asn1.ObjectIdentifier) []byte { return values[id.String()] }
	ek := &endorsementKey{line: line}
	var err error
	if ek.product, err = text(value(kds.OidProductName1)); err != nil {
		return nil, fmt.Errorf("product name: %w", err)
	}
	// By byte of the packed form, lowest first.
	parts := [8]asn1.ObjectIdentifier{kds.OidBlSpl, kds.OidTeeSpl, kds.OidSpl4, kds.OidSpl5, kds.OidSpl6, kds.OidSpl7, kds.OidSnpSpl, kds.OidUcodeSpl}
	if line == lineTurin {
		parts = [8]asn1.ObjectIdentifier{0: oidFMC, 1: kds.OidBlSpl, 2: kds.OidTeeSpl, 3: kds.OidSnpSpl, 7: kds.OidUcodeSpl}
	}
	for i, id := range parts {
		if id == nil {
			continue
		}
		var v int
		if rest, err := asn1.Unmarshal(value(id), &v); err != nil || len(rest) > 0 || v < 0 || v > 255 {
			return nil, fmt.Errorf("version %v: not a byte", id)
		}
		ek.tcb |= uint64(v) << (8 * i)
	}
	chip, csp := value(kds.OidHwid), value(kds.OidCspID)
	switch {
	case kind == abi.VcekReportSigner && csp == nil:
		ek.chip, err = chipID(chip, line)
	case kind == abi.VlekReportSigner && chip == nil:
		ek.csp, err = text(csp)
	default:
		err = errors.New("the wrong one, or both, of chip id and provider")
	}
	return ek, err
}

// chipID reads a hardware id, which may or may not be wrapped as an octet
// string, and pads it as reports do.
func chipID(value []byte, line string) ([]byte, error) {
	size := abi.ChipIDSize
	if line == lineTurin {
		size = turinChip
	}
	if len(value) != size {
		var octets []byte
		rest, err := asn1.Unmarshal(value, &octets)
		if err != nil || len(rest) > 0 || len(octets) != size {
			return nil, fmt.Errorf("chip id: got %d bytes, want %d", len(value), size)
		}
		value = octets
	}
	return append(make([]byte, 0, abi.ChipIDSize), value...)[:abi.ChipIDSize], nil
}

// text reads a printable string: it ends in terminals and logs.
func text(value []byte) (string, error) {
	var s string
	if rest, err := asn1.UnmarshalWithParams(value, &s, "ia5"); err != nil || len(rest) > 0 {
		return "", errors.New("not a string")
	}
	if len(s) == 0 || len(s) > maxCSP || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("not printable")
	}
	return s, nil
}

// reportLine is the product line of the processor that made a report: by its
// family and model since version 3, before by the certificate's product name.
func reportLine(report *spb.Report, ek *endorsementKey) string {
	if report.GetVersion() < abi.ReportVersion3 {
		line, _, _ := strings.Cut(ek.product, "-")
		return line
	}
	family, model, _ := abi.FmsFromCpuid1Eax(report.GetCpuid1EaxFms())
	switch {
	case family == 0x19 && model <= 0x0f:
		return lineMilan
	case family == 0x19 && (model >= 0x10 && model <= 0x1f || model >= 0xa0 && model <= 0xaf):
		// Bergamo and Siena have Genoa's certificates.
		return lineGenoa
	case family == 0x1a && model <= 0x11:
		return lineTurin
	}
	return fmt.Sprintf("unknown (family 0x%x, model 0x%x)", family, model)
}
