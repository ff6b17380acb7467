package verify_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
)

// composite is an exchange with a machine that has a report and a TPM.
type composite struct {
	exchange
	quote attest.Evidence
}

func (x composite) verify() (*attest.Result, error) {
	return verify.Evidence([]attest.Evidence{x.evidence, x.quote}, x.claims, x.ch, x.want, x.roots, x.now)
}

// reporters make reports of each kind over claims.
func reporters(t testing.TB) map[attest.Type]func(x *exchange) {
	t.Helper()
	d, err := softDevice()
	check(t, err)
	snp, tdx := verify.NewSynthSNP(t), attesttest.NewTDX(t, time.Now(), nil)
	return map[attest.Type]func(x *exchange){
		attest.Soft: func(x *exchange) {
			x.roots = verify.Roots{SoftCAs: [][32]byte{d.CAFingerprint()}}
			x.evidence, err = d.Attest(t.Context(), x.claims)
			check(t, err)
		},
		attest.SEVSNP: func(x *exchange) { x.roots, x.evidence = snp.Roots(), snp.Evidence(t, x.claims, nil) },
		attest.TDX:    func(x *exchange) { x.roots, x.evidence = verify.TrustTDX(tdx.Root), tdx.Evidence(t, x.claims) },
	}
}

func (p prover) composite(t testing.TB, report func(*exchange), change func(*attest.Claims)) composite {
	t.Helper()
	x := composite{exchange: exchange{ch: attesttest.NewChallenge(t), now: time.Now()}}
	c := attesttest.Claims(x.ch, x.now)
	var err error
	c.TPMAKName, err = p.AKName(t.Context())
	check(t, err)
	if change != nil {
		change(c)
	}
	x.claims = attest.EncodeClaims(c)
	report(&x.exchange)
	x.quote, err = p.Attest(t.Context(), x.claims)
	check(t, err)
	x.want, err = verify.BoundAK(p.identity(t).AKPublic)
	check(t, err)
	return x
}

func compositeEvidence(t *testing.T, a, _ prover) {
	levels := map[attest.Type]attest.Level{attest.Soft: attest.LevelSoft, attest.SEVSNP: attest.LevelSNP, attest.TDX: attest.LevelTDX}
	for kind, report := range reporters(t) {
		t.Run(string(kind), func(t *testing.T) {
			r, err := a.composite(t, report, nil).verify()
			check(t, err)
			if r.Level != levels[kind] || r.TPM == nil || (r.TDX != nil) != (kind == attest.TDX) || (r.SNP != nil) == (kind == attest.TDX) {
				t.Errorf("got %+v", r)
			}
			if f := r.TPM; f.AKBinding != attest.AKReported || f.EKFingerprint != [32]byte{} || f.ResetCount == 0 || len(f.PCRs) != 15 {
				t.Errorf("got %+v", f)
			}
			anchors := map[attest.Anchor]bool{}
			for _, c := range r.Checks {
				anchors[c.Anchor] = true
				if !c.OK {
					t.Errorf("got %+v", c)
				}
			}
			want := []attest.Anchor{attest.AnchorHardware, attest.AnchorVTPMHardware}
			if kind == attest.Soft {
				want = []attest.Anchor{attest.AnchorSelf}
			}
			if got := slices.Sorted(maps.Keys(anchors)); !slices.Equal(got, want) {
				t.Errorf("got anchors %v, want %v", got, want)
			}
		})
	}
}

// compositeMixed puts parts of two machines together, each of which is genuine.
func compositeMixed(t *testing.T, a, b prover) {
	for kind, report := range reporters(t) {
		for name, tt := range map[string]struct {
			make func(t *testing.T) composite
			code string
		}{
			"a quote by the other TPM over the same claims": {func(t *testing.T) composite {
				x := a.composite(t, report, nil)
				var err error
				x.quote, err = b.Attest(t.Context(), x.claims)
				check(t, err)
				return x
			}, "ATT-040"},
			"the other TPM's quote and public area": {func(t *testing.T) composite {
				x, y := a.composite(t, report, nil), b.composite(t, report, nil)
				var err error
				x.quote, err = b.Attest(t.Context(), x.claims)
				check(t, err)
				x.want = y.want
				return x
			}, "ATT-096"},
			"the other exchange's report": {func(t *testing.T) composite {
				x, y := a.composite(t, report, nil), b.composite(t, report, nil)
				x.evidence = y.evidence
				return x
			}, "ATT-041"},
			"the other exchange's quote": {func(t *testing.T) composite {
				x, y := a.composite(t, report, nil), b.composite(t, report, nil)
				x.quote, x.want = y.quote, y.want
				return x
			}, "ATT-041"},
			"a report that names the other TPM's key": {func(t *testing.T) composite {
				name := akNames(t, b)[0]
				return a.composite(t, report, func(c *attest.Claims) { c.TPMAKName = name[:] })
			}, "ATT-096"},
			"a report that names no key": {func(t *testing.T) composite {
				return a.composite(t, report, func(c *attest.Claims) { c.TPMAKName = nil })
			}, "ATT-096"},
			"a proof that nobody asked for": {func(t *testing.T) composite {
				x := a.composite(t, report, nil)
				x.quote = attest.ProveActivation(x.quote, x.claims, make([]byte, 32))
				return x
			}, "ATT-092"},
			"no expectation": {func(t *testing.T) composite {
				x := a.composite(t, report, nil)
				x.want = nil
				return x
			}, "ATT-092"},
			"an expectation of a secret": {func(t *testing.T) composite {
				x := a.composite(t, report, nil)
				x.want = a.round(t, nil).want
				return x
			}, "ATT-092"},
			"a register changed": {func(t *testing.T) composite {
				x := a.composite(t, report, nil)
				x.quote.TPM.PCRs[0].Value[0] ^= 1
				return x
			}, "ATT-094"},
		} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				r, err := tt.make(t).verify()
				refused(t, r, err, tt.code)
			})
		}
	}
}

// compositeShapes are the pieces in other numbers and orders.
func compositeShapes(t *testing.T, a, _ prover) {
	all := reporters(t)
	x := a.composite(t, all[attest.Soft], nil)
	snp := x
	all[attest.SEVSNP](&snp.exchange)
	for name, tt := range map[string]struct {
		pieces []attest.Evidence
		code   string
	}{
		"the quote first":   {[]attest.Evidence{x.quote, x.evidence}, "ATT-011"},
		"two quotes":        {[]attest.Evidence{x.quote, x.quote}, "ATT-011"},
		"two reports":       {[]attest.Evidence{x.evidence, x.evidence}, "ATT-011"},
		"two kinds":         {[]attest.Evidence{snp.evidence, x.evidence}, "ATT-011"},
		"three":             {[]attest.Evidence{snp.evidence, x.evidence, x.quote}, "ATT-011"},
		"the quote twice":   {[]attest.Evidence{x.evidence, x.quote, x.quote}, "ATT-011"},
		"an unknown second": {[]attest.Evidence{x.evidence, {Type: "sgx"}}, "ATT-001"},
		"an unknown first":  {[]attest.Evidence{{Type: "sgx"}, x.quote}, "ATT-001"},
		// What a report would vouch for counts for nothing alone.
		"the quote alone": {[]attest.Evidence{x.quote}, "ATT-092"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := verify.Evidence(tt.pieces, x.claims, x.ch, x.want, x.roots, x.now)
			refused(t, r, err, tt.code)
		})
	}
	// Without its quote the report is what it always was, and shows no registers.
	r, err := x.exchange.verify()
	check(t, err)
	if r.TPM != nil || r.Level != attest.LevelSoft {
		t.Errorf("got %+v", r)
	}
	// Each piece within its caps.
	y := x
	y.quote.BootLog = make([]byte, attest.MaxBootLog+1)
	r, err = y.verify()
	refused(t, r, err, "ATT-011")
	y = x
	y.quote.Endorsements = []attest.Endorsement{{Kind: attest.SNPCRL, Body: []byte{1}}}
	r, err = y.verify()
	refused(t, r, err, "ATT-011")
}

// compositeActivated: a verifier may ask for more than a report's word.
func compositeActivated(t *testing.T, a, b prover) {
	report := reporters(t)[attest.SEVSNP]
	x := composite{exchange: a.round(t, nil)}
	x.quote = x.evidence
	report(&x.exchange)
	r, err := x.verify()
	check(t, err)
	if f := r.TPM; r.Level != attest.LevelSNP || f.AKBinding != attest.AKActivated || f.EKFingerprint == [32]byte{} {
		t.Errorf("got %+v", f)
	}
	x.quote.TPM.ActivationProof = bytes.Clone(x.quote.TPM.ActivationProof)
	x.quote.TPM.ActivationProof[0] ^= 1
	r, err = x.verify()
	refused(t, r, err, "ATT-092")
}

func everyBitOfComposite(t *testing.T, a, _ prover) {
	for kind, report := range reporters(t) {
		x := a.composite(t, report, nil)
		_, err := x.verify()
		check(t, err)
		// The quote's and the report's bits are flipped one by one where each stands
		// alone; these are for what binds the two.
		v := verify.NewVerifier()
		try := func(y composite) error {
			_, err := v.Evidence([]attest.Evidence{y.evidence, y.quote}, y.claims, y.ch, y.want, y.roots, y.now)
			return err
		}
		attesttest.FlipEveryBit(t, x.quote, *stride, func(what string, mutated attest.Evidence) {
			y := x
			y.quote = mutated
			if try(y) == nil {
				t.Errorf("%s: accepted with another %s", kind, what)
			}
		})
		attesttest.FlipEveryBit(t, x.evidence, 15**stride, func(what string, mutated attest.Evidence) {
			y := x
			y.evidence = mutated
			// AMD's own certificates need not come along.
			if try(y) == nil && what != "a certificate less" {
				t.Errorf("%s: accepted with another %s", kind, what)
			}
		})
	}
}
