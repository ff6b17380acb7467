package verify_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// TestTPM goes through everything that needs a TPM, with two of one vendor.
func TestTPM(t *testing.T) {
	a := newProver(t, attesttest.SWTPM(t))
	b := newProver(t, a.machine.Sibling(t))
	a.machine.Extend(t, 14, sha256.Sum256([]byte("an event")))
	for name, test := range map[string]func(*testing.T, prover, prover){
		"honest": honestQuote, "claims": quoteOverOtherClaims, "tampered": tamperedQuote, "replay": replayedQuote,
		"two machines": twoMachines, "registers": otherRegisters, "external key": externalKey,
		"other statements": otherStatements, "every bit": everyBitOfAQuote, "recalled": recalled,
		"pinned": pinnedKeys, "composite": compositeEvidence, "mixed composite": compositeMixed, "composite shapes": compositeShapes,
		"composite activated": compositeActivated, "every bit of composite": everyBitOfComposite,
	} {
		t.Run(name, func(t *testing.T) { test(t, a, b) })
	}
}

func honestQuote(t *testing.T, a, _ prover) {
	x := a.round(t, nil)
	r, err := x.verify()
	check(t, err)
	f := r.TPM
	if r.Level != attest.LevelTPMIdentity || r.SNP != nil || f == nil {
		t.Fatalf("got %+v", r)
	}
	if f.EKRootFingerprint != sha256.Sum256(a.machine.Root.Raw) || f.EKFingerprint == [32]byte{} ||
		!bytes.Equal(f.AKName, r.Claims.TPMAKName) || f.ResetCount == 0 {
		t.Errorf("got %+v", f)
	}
	want := sha256.New()
	want.Write(make([]byte, 32))
	event := sha256.Sum256([]byte("an event"))
	want.Write(event[:])
	for i, p := range f.PCRs {
		if p.Index != tpmtemplate.QuotePCRs()[i] {
			t.Errorf("register %d: got %d", i, p.Index)
		}
		if p.Index == 14 && !bytes.Equal(p.Value, want.Sum(nil)) {
			t.Errorf("register 14: got %x, want the extended event", p.Value)
		}
	}
	for _, c := range r.Checks {
		if !c.OK || c.Anchor != attest.AnchorVTPMCA {
			t.Errorf("got %+v", c)
		}
	}
}

func quoteOverOtherClaims(t *testing.T, a, _ prover) {
	tests := map[string]struct {
		change func(*attest.Claims)
		code   string
	}{
		"another nonce":           {func(c *attest.Claims) { c.Nonce[0] ^= 1 }, "ATT-020"},
		"for another verifier":    {func(c *attest.Claims) { c.VerifierPeer = []byte("x") }, "ATT-021"},
		"of another peer":         {func(c *attest.Claims) { c.ProviderPeer = []byte("x") }, "ATT-022"},
		"expired":                 {func(c *attest.Claims) { c.ExpiresAt = c.IssuedAt }, "ATT-023"},
		"another attestation key": {func(c *attest.Claims) { c.TPMAKName[33] ^= 1 }, "ATT-096"},
		"no attestation key":      {func(c *attest.Claims) { c.TPMAKName = nil }, "ATT-096"},
	}
	for name, tt := range tests {
		r, err := a.round(t, tt.change).verify()
		t.Log(name)
		refused(t, r, err, tt.code)
	}
}

func tamperedQuote(t *testing.T, a, _ prover) {
	honest := a.round(t, nil)
	tests := map[string]struct {
		change func(*exchange)
		code   string
	}{
		"another sealing key": {func(x *exchange) { x.claims = withHPKE(x.claims) }, "ATT-041"},
		"no expectation":      {func(x *exchange) { x.want = nil }, "ATT-092"},
		"no proof":            {func(x *exchange) { x.evidence.TPM.ActivationProof = nil }, "ATT-092"},
		"proof of zeros":      {func(x *exchange) { x.evidence.TPM.ActivationProof = make([]byte, 32) }, "ATT-092"},
		"proof of other claims": {func(x *exchange) {
			x.evidence.TPM.ActivationProof = attest.ActivationProof(x.secret, attest.ClaimsDigest(nil))
		}, "ATT-092"},
		"register changed":           {func(x *exchange) { x.evidence.TPM.PCRs[4].Value[0] ^= 1 }, "ATT-094"},
		"registers swapped":          {func(x *exchange) { p := x.evidence.TPM.PCRs; p[0], p[14] = p[14], p[0] }, "ATT-093"},
		"register left out":          {func(x *exchange) { x.evidence.TPM.PCRs = x.evidence.TPM.PCRs[1:] }, "ATT-093"},
		"no registers":               {func(x *exchange) { x.evidence.TPM.PCRs = nil }, "ATT-093"},
		"quote of noise":             {func(x *exchange) { x.evidence.TPM.Quoted = []byte("noise") }, "ATT-011"},
		"quote with a byte more":     {func(x *exchange) { x.evidence.TPM.Quoted = append(x.evidence.TPM.Quoted, 0) }, "ATT-011"},
		"magic number changed":       {func(x *exchange) { x.evidence.TPM.Quoted[0] ^= 1 }, "ATT-011"},
		"signature of noise":         {func(x *exchange) { x.evidence.TPM.Signature = []byte("noise") }, "ATT-040"},
		"signature with a byte more": {func(x *exchange) { x.evidence.TPM.Signature = append(x.evidence.TPM.Signature, 0) }, "ATT-040"},
		"signature by an HMAC":       {func(x *exchange) { x.evidence.TPM.Signature[1] = 5 }, "ATT-040"},
		"signature with SHA-1":       {func(x *exchange) { x.evidence.TPM.Signature[3] = 4 }, "ATT-040"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := honest
			x.evidence = attesttest.Clone(honest.evidence)
			tt.change(&x)
			r, err := x.verify()
			refused(t, r, err, tt.code)
		})
	}
}

// withHPKE is what a relay would do: the same claims with its own key.
func withHPKE(claims []byte) []byte {
	return bytes.Replace(claims, bytes.Repeat([]byte{0x11}, 32), bytes.Repeat([]byte{0x99}, 32), 1)
}

func replayedQuote(t *testing.T, a, _ prover) {
	old, now := a.round(t, nil), a.round(t, nil)
	x := now
	x.evidence, x.claims = old.evidence, old.claims
	r, err := x.verify()
	refused(t, r, err, "ATT-020")

	// The same claims once more, but the secret is another.
	x = old
	x.want = now.want
	r, err = x.verify()
	refused(t, r, err, "ATT-092")

	// An old quote under new claims.
	x = now
	x.evidence = old.evidence
	r, err = x.verify()
	refused(t, r, err, "ATT-041")
}

// twoMachines tries to make one machine of two: the endorsement key of one that
// is trusted and the attestation key of the other.
func twoMachines(t *testing.T, a, b prover) {
	mixed := a.identity(t)
	mixed.AKPublic = b.identity(t).AKPublic
	act, want, err := verify.NewActivation(mixed, rootsOf(a.machine), rand.Reader, time.Now())
	check(t, err)
	for name, p := range map[string]prover{"endorsement key's": a, "attestation key's": b} {
		secret, err := p.Activate(t.Context(), act)
		if status.ReasonOf(err) != "tpm.activation" {
			t.Errorf("the %s TPM: got %x, %v", name, secret, err)
		}
	}
	// Without the secret the attestation key's TPM can quote but not prove.
	x := b.round(t, nil)
	x.want = want
	r, err := x.verify()
	refused(t, r, err, "ATT-092")

	// The other machine's quote for this machine's challenge.
	x = b.round(t, nil)
	x.want = a.round(t, nil).want
	r, err = x.verify()
	refused(t, r, err, "ATT-040")
}

func otherRegisters(t *testing.T, a, _ prover) {
	x := a.round(t, nil)
	for name, pcrs := range map[string][]uint32{
		"one": {0}, "16 too": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16}, "without 7": {0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15},
	} {
		q, err := a.Quote(t.Context(), x.claims, pcrs)
		check(t, err)
		proof := x.evidence.TPM.ActivationProof
		y := x
		q.ActivationProof = proof
		y.evidence = attest.Evidence{Type: attest.TPM2, TPM: q}
		r, err := y.verify()
		t.Log(name)
		refused(t, r, err, "ATT-093")
	}
	// A verifier may demand others.
	q, err := a.Quote(t.Context(), x.claims, []uint32{0, 14, 23})
	check(t, err)
	q.ActivationProof = x.evidence.TPM.ActivationProof
	x.evidence = attest.Evidence{Type: attest.TPM2, TPM: q}
	x.want.PCRs = []uint32{0, 14, 23}
	_, err = x.verify()
	check(t, err)
	x.want.PCRs = nil
	r, err := x.verify()
	refused(t, r, err, "ATT-093")
}

func everyBitOfAQuote(t *testing.T, a, _ prover) {
	x := a.round(t, nil)
	tried := 0
	attesttest.FlipEveryBit(t, x.evidence, 1, func(what string, mutated attest.Evidence) {
		tried++
		y := x
		y.evidence = mutated
		if r, err := y.verify(); err == nil {
			t.Errorf("accepted with another %s: %+v", what, r)
		}
	})
	t.Logf("%d mutations", tried)
}
