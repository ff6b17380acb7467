package verify_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/soft"
	"apocryph/attest/verify"
)

// TestSoftNeedsItsCANamed: without the name in the policy nothing soft passes,
// whatever it carries.
func TestSoftNeedsItsCANamed(t *testing.T) {
	for name, cas := range map[string][][32]byte{
		"none named":    nil,
		"another named": {sha256.Sum256([]byte("another"))},
		"zeros named":   {{}},
	} {
		x := softRound(t, nil)
		x.roots.SoftCAs = cas
		r, err := x.verify()
		t.Log(name)
		refused(t, r, err, "ATT-031")
	}
}

// TestSoftIsNotSNP presents soft evidence as a real machine's.
func TestSoftIsNotSNP(t *testing.T) {
	x := softRound(t, nil)
	x.evidence.Type = attest.SEVSNP
	r, err := x.verify()
	refused(t, r, err, "ATT-030")
}

func TestSoftAttacks(t *testing.T) {
	other, err := soft.Open(t.TempDir(), testExecutable(t), time.Now)
	check(t, err)
	foreign, err := other.Attest(t.Context(), softRound(t, nil).claims)
	check(t, err)
	tests := map[string]struct {
		change func(*exchange)
		code   string
	}{
		"another device's certificate": {func(x *exchange) { x.evidence.Certificates[0] = foreign.Certificates[0] }, "ATT-030"},
		"another device under our root": {func(x *exchange) {
			x.evidence.Report, x.evidence.Certificates[0] = foreign.Report, foreign.Certificates[0]
		}, "ATT-030"},
		"another signing certificate":  {func(x *exchange) { x.evidence.Certificates[1] = foreign.Certificates[1] }, "ATT-030"},
		"another root":                 {func(x *exchange) { x.evidence.Certificates[2] = foreign.Certificates[2] }, "ATT-031"},
		"no root":                      {func(x *exchange) { x.evidence.Certificates = x.evidence.Certificates[:2] }, "ATT-030"},
		"no certificate":               {func(x *exchange) { x.evidence.Certificates = nil }, "ATT-030"},
		"certificate of noise":         {func(x *exchange) { x.evidence.Certificates[0] = []byte("noise") }, "ATT-030"},
		"signing certificate of noise": {func(x *exchange) { x.evidence.Certificates[1] = []byte("noise") }, "ATT-030"},
		"report of another claim":      {func(x *exchange) { x.claims = append(x.claims, 0xf8, 0x07, 0x01) }, "ATT-041"},
		"report of zeros":              {func(x *exchange) { clear(x.evidence.Report) }, "ATT-011"},
		"a byte more":                  {func(x *exchange) { x.evidence.Report = append(x.evidence.Report, 0) }, "ATT-011"},
		"a byte less":                  {func(x *exchange) { x.evidence.Report = x.evidence.Report[:1183] }, "ATT-011"},
		// The library reads four bits of the stepping and verifies what it read.
		"bit that the library drops":  {func(x *exchange) { x.evidence.Report[0x18A] ^= 1 << 4 }, "ATT-011"},
		"measurement changed":         {func(x *exchange) { x.evidence.Report[0x90] ^= 1 }, "ATT-040"},
		"VLEK as signer":              {func(x *exchange) { x.evidence.Report[0x48] |= 1 << 2 }, "ATT-030"},
		"after the certificates' end": {func(x *exchange) { x.now = x.now.AddDate(8, 0, 0); x.claims = reissue(t, x) }, "ATT-030"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := softRound(t, nil)
			x.evidence = attesttest.Clone(x.evidence)
			tt.change(&x)
			r, err := x.verify()
			refused(t, r, err, tt.code)
		})
	}
}

// reissue makes fresh claims and evidence at the exchange's time.
func reissue(t *testing.T, x *exchange) []byte {
	d, err := softDevice()
	check(t, err)
	claims := attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
	x.evidence, err = d.Attest(t.Context(), claims)
	check(t, err)
	return claims
}

// TestRealReportIsNotOurs runs a real machine's report, which verifies against
// AMD's roots, through the front door: chain and signature are good, the claims
// are not bound. TestRealReportHasDebug goes on from there.
func TestRealReportIsNotOurs(t *testing.T) {
	x := softRound(t, nil)
	x.roots = verify.Roots{}
	x.evidence = attest.Evidence{Type: attest.SEVSNP, Report: testdata.AttestationBytes, Certificates: [][]byte{testdata.VcekBytes}}
	r, err := x.verify()
	refused(t, r, err, "ATT-041")
	want := map[string]bool{"ATT-030": true, "ATT-040": true}
	for _, c := range r.Checks {
		if c.OK && c.Anchor != attest.AnchorHardware {
			t.Errorf("%s: got anchor %s, want hardware", c.Code, c.Anchor)
		}
		delete(want, c.Code)
	}
	if len(want) > 0 {
		t.Errorf("missing checks: %v", want)
	}
}

// TestCarriedRootsAreNoRoots: an AMD-like chain that came along changes nothing.
func TestCarriedRootsAreNoRoots(t *testing.T) {
	x := softRound(t, nil)
	x.evidence.Type = attest.SEVSNP
	x.roots.SoftCAs = [][32]byte{sha256.Sum256(x.evidence.Certificates[2]), sha256.Sum256(trust.AskArkMilanVcekBytes)}
	r, err := x.verify()
	refused(t, r, err, "ATT-030")
}

// TestReportBits flips bits of software's and AMD's evidence, and of the claims.
func TestReportBits(t *testing.T) {
	for name, x := range map[string]exchange{"soft": softRound(t, nil), "snp": snpRound(t, verify.NewSynthSNP(t), nil)} {
		// Whatever was accepted before, a change is seen.
		v := verify.NewVerifier()
		try := func(e attest.Evidence, claims []byte) error {
			_, err := v.Evidence([]attest.Evidence{e}, claims, x.ch, nil, x.roots, x.now)
			return err
		}
		check(t, try(x.evidence, x.claims))
		tried := 0
		attesttest.FlipEveryBit(t, x.evidence, *stride, func(what string, mutated attest.Evidence) {
			tried++
			// AMD's own certificates need not come along.
			if try(mutated, x.claims) == nil && (name != "snp" || what != "a certificate less") {
				t.Errorf("%s: accepted with another %s", name, what)
			}
		})
		for bit := 0; bit < 8*len(x.claims); bit += 3 {
			tried++
			claims := bytes.Clone(x.claims)
			claims[bit/8] ^= 1 << (bit % 8)
			if try(x.evidence, claims) == nil {
				t.Errorf("%s: accepted with bit %d of the claims flipped", name, bit)
			}
		}
		check(t, try(x.evidence, x.claims))
		t.Logf("%s: %d mutations", name, tried)
	}
}
