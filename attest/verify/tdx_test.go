package verify_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// tdxNow is the time in which the synthetic machines live.
var tdxNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// tdxRound is an exchange with an honest synthetic machine.
func tdxRound(t testing.TB, m *attesttest.TDX) exchange {
	t.Helper()
	x := exchange{ch: attesttest.NewChallenge(t), now: tdxNow, roots: verify.TrustTDX(m.Root)}
	x.claims = attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
	x.evidence = m.Evidence(t, x.claims)
	return x
}

func (x exchange) refusedTDX(t testing.TB, code string) *status.Error {
	t.Helper()
	r, err := x.verify()
	if r.TDX != nil {
		t.Errorf("a refusal lets facts out: %+v", r.TDX)
	}
	refused(t, r, err, code)
	return err.(*status.Error)
}

func TestTDX(t *testing.T) {
	m := attesttest.NewTDX(t, tdxNow, nil)
	fill := func(b byte) []byte { return bytes.Repeat([]byte{b}, 48) }
	want := attest.TDXFacts{
		MRTD: fill(0x77), MRSEAM: fill(0x55), MRConfigID: fill(0), MROwner: fill(0), MROwnerConfig: fill(0),
		RTMRs:        [4][]byte{fill(0xA0), fill(0xA1), fill(0xA2), fill(0xA3)},
		TDAttributes: [8]byte{3: 0x10}, XFAM: [8]byte{0xe7, 0x1a, 0x06}, SEPTVEDisable: true, TEETCBSVN: [16]byte{3, 0, 4},
		FMSPC: "50806f000000", PlatformID: sha256.Sum256(m.Platform.PPID[:]), TCBStatus: "UpToDate",
		TCBDate: time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC), TCBEvaluation: 18, CollateralExpires: tdxNow.AddDate(0, 0, 30),
		RootFingerprint: sha256.Sum256(m.Root.Raw), QuoteVersion: 4,
	}
	v5 := want
	v5.QuoteVersion, v5.TEETCBSVN, v5.MRServiceTD = 5, [16]byte{6, 1, 4}, fill(0xbb)
	v510 := want
	v510.QuoteVersion = 5
	for _, c := range []struct {
		name   string
		change func(*attesttest.TDXQuote)
		want   attest.TDXFacts
	}{
		{"version 4", nil, want},
		{"version 5", (*attesttest.TDXQuote).V5, v5},
		{"version 5 with the older body", func(q *attesttest.TDXQuote) { q.Version = 5 }, v510},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := tdxRound(t, m)
			x.evidence.Report = m.Quote(t, attest.ReportData(x.claims), c.change)
			r, err := x.verify()
			check(t, err)
			if r.Level != attest.LevelTDX || r.Claims == nil || r.SNP != nil || r.TPM != nil {
				t.Errorf("got %+v", r)
			}
			if diff := cmp.Diff(c.want, *r.TDX); diff != "" {
				t.Error(diff)
			}
			for _, k := range r.Checks {
				if !k.OK || k.Anchor != attest.AnchorHardware {
					t.Errorf("got %+v", k)
				}
			}
		})
	}
}
