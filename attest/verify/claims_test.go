package verify_test

import (
	"bytes"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func TestSoft(t *testing.T) {
	d, err := softDevice()
	check(t, err)
	x := softRound(t, nil)
	r, err := x.verify()
	check(t, err)
	if r.Level != attest.LevelSoft || r.TPM != nil || r.ClaimsDigest != attest.ClaimsDigest(x.claims) {
		t.Errorf("got %+v", r)
	}
	if f := r.SNP; !bytes.Equal(f.Measurement, d.Measurement()) || f.RootFingerprint != d.CAFingerprint() ||
		f.Product != "Milan" || f.Debug || f.Migratable || f.VMPL != 0 || len(f.ChipID) != 64 || f.ReportedTCB == 0 {
		t.Errorf("got %+v", f)
	}
	for _, c := range r.Checks {
		if !c.OK || c.Anchor != attest.AnchorSelf {
			t.Errorf("got %+v, want passed and anchored in itself", c)
		}
	}
}

// TestClaims makes evidence over claims that are not the challenge's: a device
// signs whatever its owner says.
func TestClaims(t *testing.T) {
	tests := map[string]struct {
		change func(*attest.Claims)
		code   string
	}{
		"another purpose":       {func(c *attest.Claims) { c.Purpose = attest.PurposeOffer }, "ATT-025"},
		"another nonce":         {func(c *attest.Claims) { c.Nonce[31] ^= 1 }, "ATT-020"},
		"for another verifier":  {func(c *attest.Claims) { c.VerifierPeer = []byte("somebody else") }, "ATT-021"},
		"of another peer":       {func(c *attest.Claims) { c.ProviderPeer = []byte("somebody else") }, "ATT-022"},
		"expired":               {func(c *attest.Claims) { c.ExpiresAt = time.Now().Add(-time.Second) }, "ATT-023"},
		"from the future":       {func(c *attest.Claims) { c.IssuedAt = time.Now().Add(3 * time.Minute) }, "ATT-023"},
		"good for too long":     {func(c *attest.Claims) { c.ExpiresAt = c.IssuedAt.Add(verify.MaxLifetime + time.Second) }, "ATT-023"},
		"ends before it starts": {func(c *attest.Claims) { c.IssuedAt, c.ExpiresAt = c.ExpiresAt, c.IssuedAt }, "ATT-023"},
		"nonce of zeros":        {func(c *attest.Claims) { c.Nonce = make([]byte, 32) }, "ATT-020"},
		"no hpke key":           {func(c *attest.Claims) { c.HPKEPublicKey = nil }, "ATT-011"},
		"no nonce":              {func(c *attest.Claims) { c.Nonce = nil }, "ATT-011"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := softRound(t, tt.change).verify()
			refused(t, r, err, tt.code)
		})
	}
}

func TestClaimsAtTheEdges(t *testing.T) {
	for name, change := range map[string]func(*attest.Claims){
		"clock a minute ahead": func(c *attest.Claims) { c.IssuedAt = c.IssuedAt.Add(time.Minute) },
		"longest lifetime":     func(c *attest.Claims) { c.ExpiresAt = c.IssuedAt.Add(verify.MaxLifetime) },
	} {
		if _, err := softRound(t, change).verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSizes(t *testing.T) {
	x := softRound(t, nil)
	x.claims = make([]byte, attest.MaxClaims+1)
	r, err := x.verify()
	refused(t, r, err, "ATT-010")

	x = softRound(t, nil)
	x.evidence.Report = make([]byte, attest.MaxReport+1)
	r, err = x.verify()
	refused(t, r, err, "ATT-011")
}

func TestHowMuchEvidence(t *testing.T) {
	x := softRound(t, nil)
	for name, evidence := range map[string][]attest.Evidence{
		"none": nil, "two": {x.evidence, x.evidence},
	} {
		r, err := verify.Evidence(evidence, x.claims, x.ch, nil, x.roots, x.now)
		t.Log(name)
		refused(t, r, err, "ATT-011")
	}
}

func TestTypes(t *testing.T) {
	x := softRound(t, nil)
	x.evidence.Type = "sgx"
	r, err := x.verify()
	refused(t, r, err, "ATT-001")

	x.evidence.Type = attest.TDX
	r, err = x.verify()
	refused(t, r, err, "ATT-011")
}

// TestUnsetChallenge: a verifier that forgot to fill in what it wants gets an
// error, never a match with what the prover left empty too.
func TestUnsetChallenge(t *testing.T) {
	for name, unset := range map[string]func(*attest.Challenge){
		"purpose":  func(c *attest.Challenge) { c.Purpose = 0 },
		"nonce":    func(c *attest.Challenge) { c.Nonce = [32]byte{} },
		"verifier": func(c *attest.Challenge) { c.VerifierPeer = nil },
		"provider": func(c *attest.Challenge) { c.ProviderPeer = nil },
		"all":      func(c *attest.Challenge) { *c = attest.Challenge{} },
	} {
		x := softRound(t, nil)
		unset(&x.ch)
		r, err := x.verify()
		if r != nil || status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "attest.challenge" {
			t.Errorf("%s: got %v, %v", name, r, err)
		}
	}
}
