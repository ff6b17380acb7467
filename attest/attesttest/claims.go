package attesttest

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"apocryph/attest"
)

// NewChallenge returns a challenge with a fresh nonce, from one test peer to
// another.
func NewChallenge(t testing.TB) attest.Challenge {
	t.Helper()
	ch := attest.Challenge{
		Purpose:      attest.PurposeProvision,
		VerifierPeer: []byte("a verifier's peer id"),
		ProviderPeer: []byte("a provider's peer id"),
	}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		t.Fatal(err)
	}
	return ch
}

// Claims returns claims that answer the challenge, good for five minutes from
// now. The keys in them are fixed bytes.
func Claims(ch attest.Challenge, now time.Time) *attest.Claims {
	return &attest.Claims{
		Purpose:          ch.Purpose,
		Nonce:            bytes.Clone(ch.Nonce[:]),
		VerifierPeer:     ch.VerifierPeer,
		ProviderPeer:     ch.ProviderPeer,
		HPKEPublicKey:    bytes.Repeat([]byte{0x11}, 32),
		ReceiptPublicKey: bytes.Repeat([]byte{0x22}, 32),
		BootEpoch:        bytes.Repeat([]byte{0x33}, 32),
		Register:         "none",
		AgentVersion:     "test",
		Storage:          "none",
		IssuedAt:         now.UTC().Truncate(time.Millisecond),
		ExpiresAt:        now.UTC().Truncate(time.Millisecond).Add(5 * time.Minute),
	}
}
