package verify_test

import (
	"bytes"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/verify"
)

// recalled is a verifier that has seen both keys activated: it asks for no proof
// and checks all else.
func recalled(t *testing.T, a, b prover) {
	first := a.round(t, nil)
	r, err := first.verify()
	check(t, err)
	recall := func(p prover, known func(ek [32]byte, ak []byte) bool) *verify.Expected {
		t.Helper()
		want, err := verify.Recall(p.identity(t), rootsOf(p.machine), known, time.Now())
		check(t, err)
		return want
	}
	same := func(ek [32]byte, ak []byte) bool { return ek == r.TPM.EKFingerprint && bytes.Equal(ak, r.TPM.AKName) }
	if want := recall(b, same); want != nil {
		t.Error("another machine is taken for the one that was activated")
	}
	if want := recall(a, func([32]byte, []byte) bool { return false }); want != nil {
		t.Error("a machine that nobody has seen needs no activation")
	}

	x := a.round(t, nil)
	x.evidence.TPM.ActivationProof = nil
	x.want = recall(a, same)
	again, err := x.verify()
	check(t, err)
	if again.TPM.EKFingerprint != r.TPM.EKFingerprint || len(again.Checks) != len(r.Checks) {
		t.Errorf("got %+v", again)
	}
	// Kept evidence has the proof of its exchange, which nobody can check any more.
	kept := first
	kept.want = recall(a, same)
	_, err = kept.verify()
	check(t, err)
	// Remembering is no reason to believe anything else.
	for name, c := range map[string]struct {
		change func(*exchange)
		code   string
	}{
		"replay":              {func(x *exchange) { x.ch.Nonce[0] ^= 1 }, "ATT-020"},
		"another machine":     {func(x *exchange) { x.evidence = b.round(t, nil).evidence }, "ATT-040"},
		"register changed":    {func(x *exchange) { x.evidence.TPM.PCRs[4].Value[0] ^= 1 }, "ATT-094"},
		"another release key": {func(x *exchange) { x.claims = withHPKE(x.claims) }, "ATT-041"},
	} {
		x := a.round(t, nil)
		x.evidence.TPM.ActivationProof, x.want = nil, recall(a, same)
		c.change(&x)
		t.Log(name)
		r, err := x.verify()
		refused(t, r, err, c.code)
	}
	// Nor is an identity that does not hold together recalled.
	id := a.identity(t)
	id.AKPublic = b.identity(t).EKPublic
	if want, err := verify.Recall(id, rootsOf(a.machine), func([32]byte, []byte) bool { return true }, time.Now()); want != nil || err == nil {
		t.Errorf("got %v, %v", want, err)
	}
	if want, err := verify.Recall(attest.TPMIdentity{}, verify.Roots{}, func([32]byte, []byte) bool { return true }, time.Now()); want != nil || err == nil {
		t.Errorf("got %v, %v", want, err)
	}
}
