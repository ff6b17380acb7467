package verify_test

import (
	"crypto/rand"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
)

// The benchmarks below are of one core: run them with -cpu 1. The aims are 5000
// TPM quotes, 1200 SNP reports with a chain that is remembered and 400 TDX quotes
// with collateral a second.

func BenchmarkTPMQuote(b *testing.B) {
	x := newProver(b, attesttest.SWTPM(b)).round(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
}

// BenchmarkTPMBootLog is a quote with the log of a short boot.
func BenchmarkTPMBootLog(b *testing.B) {
	p, events := booted(b)
	x := p.round(b, nil)
	x.evidence.BootLog = attesttest.BootLog(events)
	b.ReportAllocs()
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
}

// snpRound is an exchange with a synthetic machine of AMD's kind.
func snpRound(t testing.TB, m verify.SynthSNP, change func([]byte)) exchange {
	t.Helper()
	x := exchange{ch: attesttest.NewChallenge(t), now: time.Now(), roots: m.Roots()}
	x.claims = attest.EncodeClaims(attesttest.Claims(x.ch, x.now))
	x.evidence = m.Evidence(t, x.claims, change)
	return x
}

func BenchmarkSNP(b *testing.B) {
	x := snpRound(b, verify.NewSynthSNP(b), nil)
	b.ReportAllocs()
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
}

func BenchmarkSNPCached(b *testing.B) {
	x := snpRound(b, verify.NewSynthSNP(b), nil)
	v := verify.NewVerifier()
	b.ReportAllocs()
	for b.Loop() {
		_, err := v.Evidence([]attest.Evidence{x.evidence}, x.claims, x.ch, nil, x.roots, x.now)
		check(b, err)
	}
}

// tdxBench has as much TCB info as Intel serves for a platform that has seen many
// updates.
func tdxBench(b *testing.B) exchange {
	b.Helper()
	m := attesttest.NewTDX(b, tdxNow, nil)
	x := tdxRound(b, m)
	x.evidence.Endorsements = m.Collateral(b, func(c *attesttest.TDXCollateral) {
		level := c.TCB.Levels[0]
		for i := range level.TCB.SGX {
			level.TCB.SGX[i].Category, level.TCB.TDX[i].Category = "Early Microcode Update", "TDX Late Microcode Update"
		}
		for range 12 {
			c.TCB.Levels = append(c.TCB.Levels, level)
		}
	})
	return x
}

// BenchmarkTDX verifies the collateral anew each time.
func BenchmarkTDX(b *testing.B) {
	x := tdxBench(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := x.verify()
		check(b, err)
	}
	tcb, _ := x.evidence.Endorsed(attest.TDXTCBInfo)
	b.ReportMetric(float64(len(tcb.Body)), "tcbinfo-bytes")
}

// BenchmarkComposite is an SNP report, whose chain is remembered, with a TPM's
// quote.
func BenchmarkComposite(b *testing.B) {
	m := verify.NewSynthSNP(b)
	x := newProver(b, attesttest.SWTPM(b)).composite(b, func(x *exchange) {
		x.roots, x.evidence = m.Roots(), m.Evidence(b, x.claims, nil)
	}, nil)
	v := verify.NewVerifier()
	b.ReportAllocs()
	for b.Loop() {
		_, err := v.Evidence([]attest.Evidence{x.evidence, x.quote}, x.claims, x.ch, x.want, x.roots, x.now)
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
