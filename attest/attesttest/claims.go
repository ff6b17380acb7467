package attesttest

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"apocryph/attest"
)

const providerPeer = "a provider's peer id"

// NewChallenge returns a challenge with a fresh nonce, from one test peer to
// another.
func NewChallenge(t testing.TB) attest.Challenge {
	t.Helper()
	ch := attest.Challenge{
		Purpose:      attest.PurposeProvision,
		VerifierPeer: []byte("a verifier's peer id"),
		ProviderPeer: []byte(providerPeer),
	}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		t.Fatal(err)
	}
	return ch
}

// EndpointChallenge returns the challenge of a user who is connected to an
// app's endpoint, with a fresh nonce. It names no provider's peer.
func EndpointChallenge(t testing.TB) attest.Challenge {
	t.Helper()
	ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Host: "app.example", TLSKey: bytes.Repeat([]byte{0x44}, 32)}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		t.Fatal(err)
	}
	return ch
}

// Claims returns claims that answer the challenge, good for five minutes from
// now. The keys in them are fixed bytes, and the provider's peer is the test
// one's where the challenge names none.
func Claims(ch attest.Challenge, now time.Time) *attest.Claims {
	c := &attest.Claims{
		Purpose:          ch.Purpose,
		Nonce:            bytes.Clone(ch.Nonce[:]),
		VerifierPeer:     ch.VerifierPeer,
		ProviderPeer:     ch.ProviderPeer,
		Host:             ch.Host,
		IngressTLSKey:    bytes.Clone(ch.TLSKey),
		HPKEPublicKey:    bytes.Repeat([]byte{0x11}, 32),
		ReceiptPublicKey: bytes.Repeat([]byte{0x22}, 32),
		BootEpoch:        bytes.Repeat([]byte{0x33}, 32),
		Register:         "none",
		AgentVersion:     "test",
		Storage:          "none",
		IssuedAt:         now.UTC().Truncate(time.Millisecond),
		ExpiresAt:        now.UTC().Truncate(time.Millisecond).Add(5 * time.Minute),
	}
	if len(c.ProviderPeer) == 0 {
		c.ProviderPeer = []byte(providerPeer)
	}
	return c
}
