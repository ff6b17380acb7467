package receipt

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"apocryph/attest/dsse"
	"apocryph/proto/status"
)

// KeyID names a receipt key: the hex SHA-256 of its 32 bytes. It helps to find
// a key and proves nothing.
func KeyID(key ed25519.PublicKey) string { return dsse.KeyID(key) }

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
	b, err := dsse.Seal(dsse.InToto, payload, key)
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
	e, err := open(b)
	if err != nil {
		return Receipt{}, err
	}
	if !e.By(key) {
		return Receipt{}, status.New(status.Untrusted, "receipt.signature", "the receipt is not signed by the attested key %.16s", KeyID(key))
	}
	return decode(e.Payload)
}

func open(b []byte) (dsse.Envelope, error) {
	if len(b) > MaxEnvelope {
		return dsse.Envelope{}, status.New(status.InvalidArgument, "receipt.too_large", "the receipt has %d bytes, want at most %d", len(b), MaxEnvelope)
	}
	e, err := dsse.Parse(dsse.InToto, b)
	if err != nil {
		return e, status.Wrap(err, status.InvalidArgument, "receipt.parse", "the receipt is not a DSSE envelope with one signature")
	}
	return e, nil
}
