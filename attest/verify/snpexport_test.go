package verify

import (
	"testing"

	"apocryph/attest"
)

// SynthSNP is a Milan machine under a synthetic CA, for tests outside this
// package.
type SynthSNP struct{ chip *chip }

// NewSynthSNP makes a machine whose reports its own key signs.
func NewSynthSNP(t testing.TB) SynthSNP {
	t.Helper()
	return SynthSNP{milan.make(t, false)}
}

// Roots trust the machine's CA in place of AMD's.
func (m SynthSNP) Roots() Roots { return m.chip.roots() }

// Evidence is a report over claims, with AMD's revocation list; change may spoil
// it before it is signed.
func (m SynthSNP) Evidence(t testing.TB, claims []byte, change func([]byte)) attest.Evidence {
	t.Helper()
	return withCRL(m.chip.evidence(t, attest.ReportData(claims), change), m.chip.crl(t, nil))
}

// Revoked is evidence whose signing certificate AMD's list has.
func (m SynthSNP) Revoked(t testing.TB, claims []byte) attest.Evidence {
	t.Helper()
	return withCRL(m.chip.evidence(t, attest.ReportData(claims), nil), m.chip.crl(t, nil, m.chip.Ask))
}

// What spoils a report.
var (
	SNPDebug       = func(r []byte) { r[atPolicy+2] |= 1 << 3 }
	SNPVMPL        = func(r []byte) { r[atVMPL] = 0xff }
	SNPProvisional = func(r []byte) { r[atCurrentTCB]++ }
	SNPUnbound     = func(r []byte) { clear(r[atReportData : atReportData+64]) }
)
