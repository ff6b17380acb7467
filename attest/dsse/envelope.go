package dsse

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// InToto is in-toto's media type for statements.
const InToto = "application/vnd.in-toto+json"

// Envelope is what [Parse] read. Nothing of it is verified before [Envelope.By]
// says so.
type Envelope struct {
	Payload []byte
	// KeyID names the key that is said to have signed, in lower-case hex.
	KeyID string

	kind string
	sig  []byte
}

type wire struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// preAuth is DSSE's pre-authentication encoding: what is signed says its own
// lengths, so that no two inputs have one encoding.
func preAuth(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

// KeyID names a key: the hex SHA-256 of its 32 bytes. It helps to find a key and
// proves nothing.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// Seal signs a payload of a media type.
func Seal(kind string, payload []byte, key ed25519.PrivateKey) ([]byte, error) {
	return json.Marshal(wire{kind, base64.StdEncoding.EncodeToString(payload), []signature{{
		KeyID(key.Public().(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(ed25519.Sign(key, preAuth(kind, payload))),
	}}})
}

// Parse reads an envelope of a media type. The caller bounds its size.
func Parse(kind string, b []byte) (Envelope, error) {
	var e wire
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Envelope{}, err
	}
	if e.PayloadType != kind {
		return Envelope{}, fmt.Errorf("payloadType: got %.80q, want %q", e.PayloadType, kind)
	}
	if len(e.Signatures) != 1 {
		return Envelope{}, fmt.Errorf("signatures: got %d, want 1", len(e.Signatures))
	}
	var compact bytes.Buffer
	// A decoder stops after the first value; this does not.
	if err := json.Compact(&compact, b); err != nil {
		return Envelope{}, err
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, compact.Bytes()) {
		return Envelope{}, errors.New("it is not in the one form that its fields have")
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("payload: %w", err)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return Envelope{}, fmt.Errorf("signatures[0].sig: %w", err)
	}
	// The decoder passes over line breaks, also strictly.
	if base64.StdEncoding.EncodeToString(payload) != e.Payload || base64.StdEncoding.EncodeToString(sig) != e.Signatures[0].Sig {
		return Envelope{}, errors.New("its base64 has line breaks")
	}
	return Envelope{payload, e.Signatures[0].KeyID, kind, sig}, nil
}

// By reports whether the holder of key signed the envelope, and the envelope
// names that key.
func (e Envelope) By(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && e.KeyID == KeyID(key) && ed25519.Verify(key, preAuth(e.kind, e.Payload), e.sig)
}
