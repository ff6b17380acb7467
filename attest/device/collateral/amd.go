package collateral

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// Offsets in an ATTESTATION_REPORT (56860, table 23), in bytes.
const (
	atVersion     = 0x00
	atSigner      = 0x48
	atReportedTCB = 0x180
	atFamily      = 0x188
	atModel       = 0x189
	atChipID      = 0x1A0
	reportSize    = 0x4A0

	chipIDSize = 64
	// turinIDSize is what names a chip since Turin.
	turinIDSize = 8
	// processorVersion is the first version whose reports name the processor.
	processorVersion = 3
)

// The product lines, as AMD's service names them.
const (
	milan = "Milan"
	genoa = "Genoa"
	turin = "Turin"
)

// endorseSNP adds the certificate of the report's signer where it is missing,
// and AMD's revocation list where it can be had: a policy decides whether the
// list is needed.
func (s *Source) endorseSNP(ctx context.Context, e attest.Evidence) (attest.Evidence, error) {
	if len(e.Report) != reportSize {
		return e, fmt.Errorf("a report of %d bytes", len(e.Report))
	}
	r := e.Report
	loaded := r[atSigner]>>2&7 == 1
	if len(e.Certificates) == 0 {
		if loaded {
			return e, status.New(status.Unavailable, "collateral.absent", "the report is signed with a key that the cloud loaded (VLEK), and the host gave no certificate for it").
				WithHint("the machine's cloud has to hand the certificate to its guests")
		}
		leaf, err := s.chipCertificate(ctx, r)
		if err != nil {
			return e, err
		}
		e.Certificates = [][]byte{leaf}
	}
	leaf, err := x509.ParseCertificate(e.Certificates[0])
	if err != nil {
		return e, status.Wrap(err, status.Unavailable, "collateral.absent", "the certificate of the report's signer cannot be read")
	}
	line := strings.TrimPrefix(strings.TrimPrefix(leaf.Issuer.CommonName, "SEV-"), "VLEK-")
	if line != milan && line != genoa && line != turin {
		return e, nil
	}
	if _, ok := e.Endorsed(attest.SNPCRL); ok {
		return e, nil
	}
	list, err := s.get(ctx, s.amdList(line, loaded))
	if err != nil {
		s.log.Debug("evidence goes without AMD's revocation list", "err", err)
		return e, ctx.Err()
	}
	e.Endorsements = append(e.Endorsements, attest.Endorsement{Kind: attest.SNPCRL, Body: list.Body})
	return e, nil
}

// chipCertificate gets the certificate of the chip's key (VCEK) at the TCB that
// a report names.
func (s *Source) chipCertificate(ctx context.Context, r []byte) ([]byte, error) {
	if len(strings.Trim(string(r[atChipID:atChipID+chipIDSize]), "\x00")) == 0 {
		return nil, status.New(status.Unavailable, "collateral.absent", "the host keeps the chip's id out of reports (MASK_CHIP_ID), and gave no certificate").
			WithHint("the host has to hand the chip's certificate to its guests, or show the chip's id")
	}
	var err error
	for _, line := range linesOf(r) {
		var got *entry
		if got, err = s.get(ctx, s.amdChip(line, r)); err == nil {
			return got.Body, nil
		}
		// A report of an old version does not name its processor.
		if a := (*answerError)(nil); !errors.As(err, &a) || a.code != http.StatusNotFound {
			return nil, err
		}
	}
	if err == nil {
		return nil, status.New(status.Unavailable, "collateral.absent", "the report is of processor family 0x%x, model 0x%x, for which no certificates are known", r[atFamily], r[atModel])
	}
	return nil, err
}

// linesOf returns the product lines that a report may be of.
func linesOf(r []byte) []string {
	family, model := r[atFamily], r[atModel]
	switch {
	case binary.LittleEndian.Uint32(r[atVersion:]) < processorVersion:
		return []string{milan, genoa}
	case family == 0x19 && model <= 0x0f:
		return []string{milan}
	case family == 0x19 && (model >= 0x10 && model <= 0x1f || model >= 0xa0 && model <= 0xaf):
		return []string{genoa}
	case family == 0x1a && model <= 0x11:
		return []string{turin}
	}
	return nil
}

const amdOption = "--amd-kds"

// amdChip is a chip's certificate (57230, 4.1 and, for Turin, 4.2).
func (s *Source) amdChip(line string, r []byte) piece {
	tcb := r[atReportedTCB : atReportedTCB+8]
	id := r[atChipID : atChipID+chipIDSize]
	query := fmt.Sprintf("blSPL=%d&teeSPL=%d&snpSPL=%d&ucodeSPL=%d", tcb[0], tcb[1], tcb[6], tcb[7])
	if line == turin {
		id = id[:turinIDSize]
		query = fmt.Sprintf("fmcSPL=%d&blSPL=%d&teeSPL=%d&snpSPL=%d&ucodeSPL=%d", tcb[0], tcb[1], tcb[2], tcb[3], tcb[7])
	}
	path := fmt.Sprintf("/vcek/v1/%s/%s?%s", line, hex.EncodeToString(id), query)
	return piece{
		name: "AMD's certificate of this " + line + " chip", id: "snp" + path, url: join(base(s.cfg.KDS), "%s", path), option: amdOption,
		max: attest.MaxCertificate, lasting: true, shape: certUntil,
	}
}

// amdList is the list of revoked signing certificates (57230, 4.3).
func (s *Source) amdList(line string, loaded bool) piece {
	kind := "vcek"
	if loaded {
		kind = "vlek"
	}
	path := fmt.Sprintf("/%s/v1/%s/crl", kind, line)
	return piece{
		name: "AMD's revocation list for " + line, id: "snp" + path, url: join(base(s.cfg.KDS), "%s", path), option: amdOption,
		max: attest.MaxEndorsement, shape: listUntil,
	}
}

func certUntil(body []byte) (time.Time, error) {
	c, err := x509.ParseCertificate(body)
	if err != nil {
		return time.Time{}, errors.New("not a certificate")
	}
	return c.NotAfter, nil
}
