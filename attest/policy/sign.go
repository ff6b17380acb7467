package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"apocryph/attest"
	"apocryph/proto/status"
)

// payloadType is what a signed policy is in DSSE's terms.
const payloadType = "application/vnd.apocryph.policy+yaml"

// MaxSignature bounds a signature's file, in bytes: a policy in base64 with its
// envelope.
const MaxSignature = MaxSize/3*4 + 4096

// Reasons of the errors about who may change a policy.
const (
	ReasonSignature = "policy.signature"
	ReasonRollback  = "policy.rollback"
	ReasonKey       = "policy.key"
)

// envelope is DSSE's JSON form (secure-systems-lab/dsse, envelope.md).
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// preAuth is DSSE's pre-authentication encoding (protocol.md): what is signed
// says its own lengths and type.
func preAuth(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign returns a DSSE envelope over the exact bytes of a policy file. A file
// that [Parse] refuses is not signed.
func Sign(file []byte, key ed25519.PrivateKey) ([]byte, error) {
	if _, err := Parse(file); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, status.New(status.InvalidArgument, ReasonKey, "signing a policy without a key")
	}
	b, err := json.MarshalIndent(envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(file),
		Signatures: []signature{{keyID(key.Public().(ed25519.PublicKey)), base64.StdEncoding.EncodeToString(ed25519.Sign(key, preAuth(file)))}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a signature: %w", err)
	}
	return append(b, '\n'), nil
}

func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// CheckSignature reports whether key signed exactly the bytes of file; envelope
// is what [Sign] made, nil where there is none. The check's code is
// [CodePolicySignature].
func CheckSignature(file, envelope []byte, key ed25519.PublicKey) attest.Check {
	c := attest.Check{
		Code: CodePolicySignature, Name: "policy's signature", Anchor: attest.AnchorSelf, Want: "one by " + KeyText(key),
	}
	switch {
	case len(key) != ed25519.PublicKeySize:
		c.Got, c.Want = "no key to check with", "a key"
		return c
	case len(file) == 0:
		c.Got = "a policy without a file"
		return c
	case len(envelope) == 0:
		c.Got = "none"
		return c
	}
	payload, sigs, ok := openEnvelope(envelope)
	if !ok {
		c.Got = "a file that is no DSSE envelope of a policy"
		return c
	}
	if !bytes.Equal(payload, file) {
		c.Got = "one over another file"
		return c
	}
	for _, sig := range sigs {
		if ed25519.Verify(key, preAuth(file), sig) {
			c.OK, c.Got = true, "one by it"
			return c
		}
	}
	c.Got = "one by another key"
	return c
}

// maxSignatures bounds how many keys may have signed one policy.
const maxSignatures = 8

func openEnvelope(b []byte) (payload []byte, sigs [][]byte, ok bool) {
	if len(b) > MaxSignature {
		return nil, nil, false
	}
	var e envelope
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&e) != nil || e.PayloadType != payloadType || len(e.Signatures) > maxSignatures {
		return nil, nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, false
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return nil, nil, false
	}
	for _, s := range e.Signatures {
		sig, err := base64.StdEncoding.Strict().DecodeString(s.Sig)
		if err != nil {
			return nil, nil, false
		}
		sigs = append(sigs, sig)
	}
	return payload, sigs, true
}

// CheckVersion compares the policy's version with the highest that was used
// before, 0 for none. An older policy may accept what was found to be wrong
// since, so there is no way back but a new version. The check's code is
// [CodeRollback].
func (p *Policy) CheckVersion(highest int) attest.Check {
	c := attest.Check{
		Code: CodeRollback, Name: "policy's version", Anchor: attest.AnchorSelf, Got: "no policy", Want: fmt.Sprintf("at least %d", highest),
	}
	if p == nil {
		return c
	}
	c.Got, c.Policy, c.OK = fmt.Sprint(p.Version), p.where("version"), p.Version >= highest
	return c
}

// Refusal is the error of a check about the policy itself, untrusted, or nil
// where it passed. reason is [ReasonSignature] or [ReasonRollback].
func Refusal(c attest.Check) error {
	if c.OK {
		return nil
	}
	reason, hint := ReasonRollback, "give the file a version that is not lower than the last one used, after a look at what it demands: `publisher policy explain`"
	if c.Code == CodePolicySignature {
		reason, hint = ReasonSignature, "`publisher policy sign FILE --key KEYFILE` signs it, with the key whose public half is demanded"
	}
	return status.New(status.Untrusted, reason, "%s %s: got %s, want %s", c.Code, c.Name, c.Got, c.Want).WithHint("%s", hint)
}

const keyPrefix = "ed25519:"

// KeyText is a public key as people copy it: "ed25519:" and 64 hexadecimal
// digits.
func KeyText(key ed25519.PublicKey) string { return keyPrefix + hex.EncodeToString(key) }

// ParseKeyText reads what [KeyText] writes.
func ParseKeyText(s string) (ed25519.PublicKey, error) {
	digits, ok := strings.CutPrefix(s, keyPrefix)
	key, err := hex.DecodeString(digits)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, status.New(status.InvalidArgument, ReasonKey, "got %s, want %s and 64 hexadecimal digits", quote(s), keyPrefix).
			WithHint("`publisher policy keygen -o FILE` prints it")
	}
	return key, nil
}

const keyBlock = "PRIVATE KEY"

// MarshalKey is a private key as a file: PKCS #8 in PEM.
func MarshalKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// ParseKey reads what [MarshalKey] writes. The error says nothing of the bytes.
func ParseKey(b []byte) (ed25519.PrivateKey, error) {
	bad := status.New(status.InvalidArgument, ReasonKey, "the key is no Ed25519 private key in PEM (PKCS #8)").
		WithHint("`publisher policy keygen -o FILE` makes one")
	block, _ := pem.Decode(b)
	if block == nil || block.Type != keyBlock {
		return nil, bad
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, bad
	}
	return key, nil
}
