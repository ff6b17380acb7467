package provenance

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/dsse"
	"apocryph/proto/status"
)

// Sign returns a statement of [Encode] in a DSSE envelope. One that [Open] would
// refuse is an invalid argument.
func Sign(payload []byte, key ed25519.PrivateKey) ([]byte, error) {
	if _, err := Decode(payload); err != nil {
		return nil, err
	}
	b, err := dsse.Seal(dsse.InToto, payload, key)
	if err != nil {
		return nil, fmt.Errorf("signing a statement about a build: %w", err)
	}
	return b, nil
}

// Open returns the build of which the holder of key has signed a statement, and
// the statement's bytes. An envelope that is not in form is invalid_argument,
// reason "provenance.parse", "provenance.too_large" or "provenance.invalid"; one
// that another key signed is untrusted, reason "provenance.signature".
func Open(envelope []byte, key ed25519.PublicKey) (Build, []byte, error) {
	if len(key) != ed25519.PublicKeySize {
		return Build{}, nil, errors.New("provenance: opening without a key")
	}
	e, err := open(envelope)
	if err != nil {
		return Build{}, nil, err
	}
	if !e.By(key) {
		return Build{}, nil, status.New(status.Untrusted, "provenance.signature", "the statement about a build is not signed by the attested key %.16s", dsse.KeyID(key))
	}
	b, err := Decode(e.Payload)
	if err != nil {
		return Build{}, nil, err
	}
	return b, e.Payload, nil
}

// Verify is [Open] for who needs the build alone.
func Verify(envelope []byte, key ed25519.PublicKey) (Build, error) {
	b, _, err := Open(envelope, key)
	return b, err
}

// Statement is what an envelope has, whoever signed it: for who keeps statements
// of its own.
func Statement(envelope []byte) ([]byte, error) {
	e, err := open(envelope)
	return e.Payload, err
}

func open(b []byte) (dsse.Envelope, error) {
	if len(b) > MaxEnvelope {
		return dsse.Envelope{}, status.New(status.InvalidArgument, "provenance.too_large", "the envelope of a statement about a build has %d bytes, want at most %d", len(b), MaxEnvelope)
	}
	e, err := dsse.Parse(dsse.InToto, b)
	if err != nil {
		return e, status.Wrap(err, status.InvalidArgument, "provenance.parse", "the statement about a build is not in a DSSE envelope with one signature")
	}
	return e, nil
}

// Facts is what a policy is asked about. The signer is not among it: who verified
// the commit's signature adds it.
func (b Build) Facts(payload []byte) attest.BuildFacts {
	f := attest.BuildFacts{ImageID: b.ImageID, Statement: Digest(payload).String(), Upload: b.Upload, Runtime: b.Runtime}
	if s := b.Source; s != nil {
		f.Repository, f.Branch, f.Path, f.Commit, f.Tree = s.Repository, s.Branch, s.Path, s.Commit, s.Tree
	}
	for _, m := range b.Materials {
		if m.isPackage() {
			continue
		}
		base := attest.BuildBase{Name: m.Name, URI: m.URI}
		if d := m.Digest["sha256"]; d != "" {
			base.SHA256 = digestPrefix + d
		}
		f.Bases = append(f.Bases, base)
	}
	return f
}

// KeyID names a key as envelopes do.
func KeyID(key ed25519.PublicKey) string { return dsse.KeyID(key) }
