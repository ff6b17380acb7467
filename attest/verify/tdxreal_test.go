package verify_test

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
)

func tdxFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "tdx", name))
	check(t, err)
	return b
}

// cutQuote is what a provider's device does with a quote in a larger buffer.
func cutQuote(b []byte) []byte {
	at := 48 + 584
	if binary.LittleEndian.Uint16(b) == 5 {
		at = 48 + 6 + int(binary.LittleEndian.Uint32(b[50:]))
	}
	return b[:at+4+int(binary.LittleEndian.Uint32(b[at:]))]
}

// intelRound is an exchange with a real quote, which does not answer it.
func intelRound(t testing.TB, quote string, now time.Time) exchange {
	t.Helper()
	x := exchange{ch: attesttest.NewChallenge(t), now: now}
	x.claims = attest.EncodeClaims(attesttest.Claims(x.ch, now))
	x.evidence = attest.Evidence{Type: attest.TDX, Report: cutQuote(tdxFile(t, quote))}
	return x
}

// intelCollateral is Intel's, of 2023, for the machine of v4.quote.
func intelCollateral(t testing.TB) []attest.Endorsement {
	t.Helper()
	var chain [][]byte
	for block, rest := pem.Decode(tdxFile(t, "issuers.pem")); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	return []attest.Endorsement{
		{Kind: attest.TDXTCBInfo, Body: tdxFile(t, "tcbinfo.json"), Chain: chain},
		{Kind: attest.TDXQEIdentity, Body: tdxFile(t, "qeidentity.json"), Chain: chain},
		{Kind: attest.TDXRootCRL, Body: tdxFile(t, "root.crl")},
		{Kind: attest.TDXPCKCRL, Body: tdxFile(t, "pck.crl")},
	}
}

var (
	july2023 = time.Date(2023, 7, 1, 0, 0, 0, 0, time.UTC)
	today    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// TestRealTDX: quotes of real machines verify under the built-in root, and get
// no further without collateral.
func TestRealTDX(t *testing.T) {
	for _, name := range []string{"v4.quote", "v5.quote", "cos.quote"} {
		t.Run(name, func(t *testing.T) {
			x := intelRound(t, name, today)
			x.refusedTDX(t, "ATT-033")
			r, _ := x.verify()
			var passed []string
			for _, c := range r.Checks {
				passed = append(passed, c.Code)
			}
			if got := strings.Join(passed, " "); !strings.HasSuffix(got, "ATT-030 ATT-040 ATT-033") {
				t.Errorf("got %s, want chain and signature passed", got)
			}
			// Any machine of Intel's, but not this quote.
			x.evidence.Report = bytes.Clone(x.evidence.Report)
			x.evidence.Report[200] ^= 1
			x.refusedTDX(t, "ATT-040")
			x = intelRound(t, name, today.AddDate(10, 0, 0))
			x.refusedTDX(t, "ATT-030")
			x = intelRound(t, name, today)
			x.roots = tdxRound(t, attesttest.NewTDX(t, tdxNow, nil)).roots
			x.refusedTDX(t, "ATT-031")
		})
	}
}

// TestRealCollateral: everything that Intel signed verifies at its time, down to
// the levels, none of which the real machine reached.
func TestRealCollateral(t *testing.T) {
	x := intelRound(t, "v4.quote", july2023)
	x.evidence.Endorsements = intelCollateral(t)
	x.refusedTDX(t, "ATT-061")
	for _, c := range []struct {
		name   string
		change func(*exchange)
		code   string
	}{
		{"after the signer's certificate", func(x *exchange) { *x = intelRound(t, "v4.quote", today) }, "ATT-030"},
		{"after the collateral", func(x *exchange) { *x = intelRound(t, "v4.quote", july2023.AddDate(0, 1, 0)) }, "ATT-034"},
		{"before the collateral", func(x *exchange) { *x = intelRound(t, "v4.quote", july2023.AddDate(0, -1, 0)) }, "ATT-034"},
		{"of another machine", func(x *exchange) { *x = intelRound(t, "cos.quote", july2023.AddDate(2, 0, 0)) }, "ATT-030"},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := x
			c.change(&y)
			y.evidence.Endorsements = intelCollateral(t)
			y.refusedTDX(t, c.code)
		})
	}
}

// TestRealBuffers: what machines hand out behind a quote is not part of it.
func TestRealBuffers(t *testing.T) {
	for _, name := range []string{"v4.quote", "cos.quote"} {
		x := intelRound(t, name, today)
		x.evidence.Report = tdxFile(t, name)
		x.refusedTDX(t, "ATT-011")
	}
}
