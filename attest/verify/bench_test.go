package verify_test

import (
	"crypto/rand"
	"testing"
	"time"

	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
)

func BenchmarkVerifySoft(b *testing.B) {
	x := softRound(b, nil)
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
}

func BenchmarkVerifyTPMQuote(b *testing.B) {
	x := newProver(b, attesttest.SWTPM(b)).round(b, nil)
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
}

func BenchmarkNewActivation(b *testing.B) {
	p := newProver(b, attesttest.SWTPM(b))
	id, roots := p.identity(b), rootsOf(p.machine)
	for b.Loop() {
		_, _, err := verify.NewActivation(id, roots, rand.Reader, time.Now())
		check(b, err)
	}
}

// BenchmarkQuote is the yardstick of BenchmarkAttestRound: what the TPM alone
// takes for the quote.
func BenchmarkQuote(b *testing.B) {
	p := newProver(b, attesttest.SWTPM(b))
	for b.Loop() {
		_, err := p.Quote(b.Context(), nil, tpmtemplate.QuotePCRs())
		check(b, err)
	}
}

// BenchmarkAttestRound is everything of both sides but the network: identity,
// activation, quote, verification.
func BenchmarkAttestRound(b *testing.B) {
	p := newProver(b, attesttest.SWTPM(b))
	for b.Loop() {
		_, err := p.round(b, nil).verify()
		check(b, err)
	}
}

func BenchmarkActivate(b *testing.B) {
	p := newProver(b, attesttest.SWTPM(b))
	act, _, err := verify.NewActivation(p.identity(b), rootsOf(p.machine), rand.Reader, time.Now())
	check(b, err)
	for b.Loop() {
		_, err := p.Activate(b.Context(), act)
		check(b, err)
	}
}
