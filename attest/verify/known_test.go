package verify_test

import (
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func akNames(t testing.TB, ps ...prover) (names [][verify.AKNameSize]byte) {
	t.Helper()
	for _, p := range ps {
		name, err := p.AKName(t.Context())
		check(t, err)
		names = append(names, [verify.AKNameSize]byte(name))
	}
	return names
}

// pinnedKeys is a verifier of evidence in a file, who has no TPM to ask.
func pinnedKeys(t *testing.T, a, b prover) {
	area := a.identity(t).AKPublic
	pin := func(area []byte, names ...[verify.AKNameSize]byte) *verify.Expected {
		t.Helper()
		want, err := verify.Pinned(area, verify.Roots{AKNames: names})
		check(t, err)
		return want
	}
	if want := pin(area); want != nil {
		t.Error("a key is pinned by nobody")
	}
	if want := pin(area, akNames(t, b)...); want != nil {
		t.Error("another TPM's key is taken for the pinned one")
	}
	for name, area := range map[string][]byte{
		"none": nil, "long": make([]byte, attest.MaxPublic+1), "noise": []byte("noise"), "an endorsement key": a.identity(t).EKPublic,
		"a byte more": append(append([]byte(nil), area...), 0),
	} {
		if want, err := verify.Pinned(area, verify.Roots{AKNames: akNames(t, a, b)}); want != nil || status.ReasonOf(err) != "attest.ak_attributes" {
			t.Errorf("%s: got %v, %v", name, want, err)
		}
	}

	// The file has the proof for whoever asked; this verifier cannot use it.
	x := a.round(t, nil)
	x.want = pin(area, akNames(t, b, a)...)
	r, err := x.verify()
	check(t, err)
	f := r.TPM
	if f.AKBinding != attest.AKPinned || f.EKFingerprint != [32]byte{} || f.EKRootFingerprint != [32]byte{} || r.Level != attest.LevelTPMIdentity {
		t.Errorf("got %+v", f)
	}
	said := false
	for _, c := range r.Checks {
		said = said || c.Code == "ATT-092" && c.Got == "pinned by the policy"
	}
	if !said {
		t.Errorf("got %v, want the pin to be told", r.Checks)
	}
	for name, c := range map[string]struct {
		change func(*exchange)
		code   string
	}{
		"another challenge":   {func(x *exchange) { x.ch.Nonce[0] ^= 1 }, "ATT-020"},
		"another machine":     {func(x *exchange) { x.evidence = b.round(t, nil).evidence }, "ATT-040"},
		"register changed":    {func(x *exchange) { x.evidence.TPM.PCRs[4].Value[0] ^= 1 }, "ATT-094"},
		"another release key": {func(x *exchange) { x.claims = withHPKE(x.claims) }, "ATT-041"},
	} {
		t.Run(name, func(t *testing.T) {
			x := x
			x.evidence = attesttest.Clone(x.evidence)
			c.change(&x)
			r, err := x.verify()
			refused(t, r, err, c.code)
		})
	}
	// Not even the genuine key may name another one in the claims.
	x = a.round(t, func(c *attest.Claims) { c.TPMAKName[2] ^= 1 })
	x.want = pin(area, akNames(t, a)...)
	r, err = x.verify()
	refused(t, r, err, "ATT-096")
}
