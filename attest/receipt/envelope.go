package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"apocryph/proto/status"
)

// payloadType is in-toto's media type for statements.
const payloadType = "application/vnd.in-toto+json"

// envelope is DSSE's JSON form.
type envelope struct {
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
func preAuth(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// KeyID names a receipt key: the hex SHA-256 of its 32 bytes. It helps to find
// a key and proves nothing.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// Sign returns the receipt as a DSSE envelope. A receipt that [Open] would
// refuse is an invalid argument.
func Sign(r Receipt, key ed25519.PrivateKey) ([]byte, error) {
	payload, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a receipt: %w", err)
	}
	if _, err := decode(payload); err != nil {
		return nil, err
	}
	b, err := json.Marshal(envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []signature{{KeyID(key.Public().(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(ed25519.Sign(key, preAuth(payload)))}},
	})
	if err == nil && len(b) > MaxEnvelope {
		err = status.New(status.InvalidArgument, "receipt.too_large", "the receipt has %d bytes, want at most %d", len(b), MaxEnvelope)
	}
	return b, err
}

// Open returns what the holder of key has signed. An envelope that is not in
// form is invalid_argument, reason "receipt.parse" or "receipt.invalid"; one
// that another key signed is untrusted, reason "receipt.signature".
func Open(b []byte, key ed25519.PublicKey) (Receipt, error) {
	if len(key) != ed25519.PublicKeySize {
		return Receipt{}, errors.New("receipt: opening without a key")
	}
	payload, sig, err := open(b)
	if err != nil {
		return Receipt{}, err
	}
	if !ed25519.Verify(key, preAuth(payload), sig) {
		return Receipt{}, status.New(status.Untrusted, "receipt.signature", "the receipt is not signed by the attested key %.16s", KeyID(key))
	}
	return decode(payload)
}

func open(b []byte) (payload, sig []byte, err error) {
	fail := func(cause error) ([]byte, []byte, error) {
		return nil, nil, status.Wrap(cause, status.InvalidArgument, "receipt.parse", "the receipt is not a DSSE envelope with one signature")
	}
	if len(b) > MaxEnvelope {
		return nil, nil, status.New(status.InvalidArgument, "receipt.too_large", "the receipt has %d bytes, want at most %d", len(b), MaxEnvelope)
	}
	var e envelope
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return fail(err)
	}
	if e.PayloadType != payloadType || len(e.Signatures) != 1 || d.More() {
		return fail(nil)
	}
	if payload, err = base64.StdEncoding.Strict().DecodeString(e.Payload); err != nil {
		return fail(err)
	}
	if sig, err = base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig); err != nil {
		return fail(err)
	}
	return payload, sig, nil
}
