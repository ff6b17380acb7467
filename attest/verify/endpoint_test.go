package verify_test

import (
	"bytes"
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/proto/status"
)

func endpointRound(t testing.TB, change func(*attest.Claims)) exchange {
	t.Helper()
	return softRoundOf(t, attesttest.EndpointChallenge(t), change)
}

func TestEndpoint(t *testing.T) {
	tests := map[string]struct {
		claims    func(*attest.Claims)
		challenge func(*attest.Challenge)
	}{
		"as asked":                   {},
		"no connection":              {challenge: func(c *attest.Challenge) { c.TLSKey = nil }},
		"no connection, no key":      {func(c *attest.Claims) { c.IngressTLSKey = nil }, func(c *attest.Challenge) { c.TLSKey = nil }},
		"the provider's peer":        {challenge: func(c *attest.Challenge) { c.ProviderPeer = []byte("a provider's peer id") }},
		"whatever the provider's is": {claims: func(c *attest.Claims) { c.ProviderPeer = []byte("somebody") }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := endpointRound(t, tt.claims)
			if tt.challenge != nil {
				tt.challenge(&x.ch)
			}
			r, err := x.verify()
			check(t, err)
			if r.Claims.Host != "app.example" || len(r.Claims.ProviderPeer) == 0 {
				t.Errorf("got %+v", r.Claims)
			}
		})
	}
}

func TestEndpointRefuses(t *testing.T) {
	tests := map[string]struct {
		claims    func(*attest.Claims)
		challenge func(*attest.Challenge)
		code      string
	}{
		"another host":        {func(c *attest.Claims) { c.Host = "other.example" }, nil, "ATT-021"},
		"a host below":        {func(c *attest.Claims) { c.Host = "www.app.example" }, nil, "ATT-021"},
		"no host":             {func(c *attest.Claims) { c.Host = "" }, nil, "ATT-021"},
		"another nonce":       {func(c *attest.Claims) { c.Nonce[0] ^= 1 }, nil, "ATT-020"},
		"for a peer too":      {func(c *attest.Claims) { c.VerifierPeer = []byte("a verifier's peer id") }, nil, "ATT-021"},
		"for a deployment":    {func(c *attest.Claims) { c.Purpose, c.VerifierPeer = attest.PurposeProvision, []byte("v") }, nil, "ATT-025"},
		"another key":         {func(c *attest.Claims) { c.IngressTLSKey[31] ^= 1 }, nil, "ATT-026"},
		"no key":              {func(c *attest.Claims) { c.IngressTLSKey = nil }, nil, "ATT-026"},
		"another provider":    {nil, func(c *attest.Challenge) { c.ProviderPeer = []byte("somebody else") }, "ATT-022"},
		"no provider":         {func(c *attest.Claims) { c.ProviderPeer = nil }, nil, "ATT-011"},
		"too long a verifier": {func(c *attest.Claims) { c.VerifierPeer = make([]byte, 65) }, nil, "ATT-011"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x := endpointRound(t, tt.claims)
			if tt.challenge != nil {
				tt.challenge(&x.ch)
			}
			r, err := x.verify()
			refused(t, r, err, tt.code)
		})
	}
}

// TestEndpointIsNoOtherUse: what was made for the users of a host serves no
// verifier who asked as a peer, whatever else agrees.
func TestEndpointIsNoOtherUse(t *testing.T) {
	r, err := softRound(t, func(c *attest.Claims) { c.Host = "app.example" }).verify()
	refused(t, r, err, "ATT-021")
	// Without a verifier's peer, claims for a peer are not even well-formed.
	r, err = softRound(t, func(c *attest.Claims) { c.VerifierPeer = nil }).verify()
	refused(t, r, err, "ATT-011")
}

func TestUnsetEndpointChallenge(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	for name, change := range map[string]func(*attest.Challenge){
		"no nonce":             func(c *attest.Challenge) { c.Nonce = [32]byte{} },
		"no host":              func(c *attest.Challenge) { c.Host = "" },
		"a verifier":           func(c *attest.Challenge) { c.VerifierPeer = []byte("v") },
		"a key of nothing":     func(c *attest.Challenge) { c.TLSKey = []byte{} },
		"half a key":           func(c *attest.Challenge) { c.TLSKey = key[:16] },
		"a host to deploy":     func(c *attest.Challenge) { c.Purpose, c.VerifierPeer, c.ProviderPeer, c.TLSKey = 1, key, key, nil },
		"a TLS key for offers": func(c *attest.Challenge) { c.Purpose, c.VerifierPeer, c.ProviderPeer, c.Host = 3, key, key, "" },
	} {
		x := endpointRound(t, nil)
		change(&x.ch)
		r, err := x.verify()
		if r != nil || status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "attest.challenge" {
			t.Errorf("%s: got %v, %v", name, r, err)
		}
	}
}
