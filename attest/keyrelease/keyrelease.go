package keyrelease

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"

	"apocryph/proto/status"
)

// Info is the HPKE info string: the purpose and version of the construction.
const Info = "apocryph/provision/0.0.1"

const (
	// PublicKeySize is the length of a public key and of an encapsulated key
	// in bytes (RFC 9180, 7.1: Npk and Nenc of DHKEM(X25519, HKDF-SHA256)).
	PublicKeySize = 32
	// ConfirmSize is the length of a confirmation in bytes.
	ConfirmSize = sha256.Size
	// Overhead is how much longer a ciphertext is than its plaintext, in bytes:
	// the tag of AES-256-GCM.
	Overhead = 16
	// MaxCiphertext bounds a ciphertext, in bytes: a stranger's message is
	// decrypted in memory as a whole, and one that is larger would let a peer
	// take memory before it is known to be allowed anything.
	MaxCiphertext = 4 << 20
	// MaxPlaintext is what fits into the largest ciphertext, in bytes.
	MaxPlaintext = MaxCiphertext - Overhead

	confirmContext = Info + "/confirm"
	exportSize     = 32
	seedSize       = 32
)

// The errors are constant: what went wrong inside stays inside.
var (
	// ErrUnsealable says that a message was not sealed to this key for this
	// attestation and request, or was changed on the way.
	ErrUnsealable = status.New(status.Untrusted, "provision.unsealable",
		"the message cannot be opened with the attested key").
		WithHint("the provider may have started again: attest it again and seal anew")
	// ErrTooLarge says that a message is over [MaxCiphertext].
	ErrTooLarge = status.New(status.InvalidArgument, "provision.too_large",
		"the sealed message is larger than %d bytes", MaxCiphertext).
		WithHint("make the manifest's files and secrets smaller")
	// ErrPublicKey says that an attested key is none that can be sealed to.
	ErrPublicKey = status.New(status.Untrusted, "provision.public_key",
		"the attested key is not a usable X25519 public key")
	// ErrUnconfirmed says that the answer did not come from the holder of the
	// attested key.
	ErrUnconfirmed = status.New(status.Untrusted, "provision.unconfirmed",
		"the answer does not prove possession of the attested key").
		WithHint("something between you and the provider answered in its place: do not use what it said")
)

func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// PrivateKey opens what was sealed to its public half. It is safe for
// concurrent use.
type PrivateKey struct{ key hpke.PrivateKey }

// NewKey makes a key from 32 bytes of random, which is crypto/rand's reader
// everywhere but in tests; nil means that one too.
func NewKey(random io.Reader) (*PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	seed := make([]byte, seedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	kem, _, _ := suite()
	key, err := kem.DeriveKeyPair(seed)
	clear(seed)
	if err != nil {
		return nil, fmt.Errorf("deriving key: %w", err)
	}
	return &PrivateKey{key: key}, nil
}

// PublicKey is the public half, [PublicKeySize] bytes, as claims carry it.
func (k *PrivateKey) PublicKey() []byte { return k.key.PublicKey().Bytes() }

// String hides the key from formatted output.
func (k *PrivateKey) String() string { return "keyrelease.PrivateKey(hidden)" }

// GoString hides the key from %#v.
func (k *PrivateKey) GoString() string { return k.String() }

// Seal encrypts plaintext, at most [MaxPlaintext] bytes, to the attested key
// pub for one attestation and one request. confirm is what the provider must
// answer: see [CheckConfirm]. The errors are [ErrPublicKey] and [ErrTooLarge].
func Seal(pub []byte, claimsDigest [32]byte, requestID [16]byte, plaintext []byte) (enc, ciphertext, confirm []byte, err error) {
	enc, ciphertext, sender, err := seal(Info, pub, claimsDigest, requestID, plaintext)
	if err != nil {
		return nil, nil, nil, err
	}
	secret, err := sender.Export(confirmContext, exportSize)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("exporting: %w", err)
	}
	return enc, ciphertext, confirmation(secret, requestID), nil
}

func seal(info string, pub []byte, claimsDigest [32]byte, requestID [16]byte, plaintext []byte) (enc, ciphertext []byte, sender *hpke.Sender, err error) {
	if len(plaintext) > MaxPlaintext {
		return nil, nil, nil, ErrTooLarge
	}
	kem, kdf, aead := suite()
	key, err := kem.NewPublicKey(pub)
	if err != nil {
		return nil, nil, nil, ErrPublicKey
	}
	// A point of low order gives a shared secret that everyone knows; the KEM refuses it here.
	enc, sender, err = hpke.NewSender(key, kdf, aead, []byte(info))
	if err != nil {
		return nil, nil, nil, ErrPublicKey
	}
	ciphertext, err = sender.Seal(associatedData(claimsDigest, requestID), plaintext)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("sealing: %w", err)
	}
	return enc, ciphertext, sender, nil
}

// Open decrypts what [Seal] made for the same attestation and request. confirm
// is the answer that proves it. The errors are [ErrUnsealable] and [ErrTooLarge].
func (k *PrivateKey) Open(enc, ciphertext []byte, claimsDigest [32]byte, requestID [16]byte) (plaintext, confirm []byte, err error) {
	plaintext, recipient, err := k.open(Info, enc, ciphertext, claimsDigest, requestID)
	if err != nil {
		return nil, nil, err
	}
	secret, err := recipient.Export(confirmContext, exportSize)
	if err != nil {
		return nil, nil, ErrUnsealable
	}
	return plaintext, confirmation(secret, requestID), nil
}

func (k *PrivateKey) open(info string, enc, ciphertext []byte, claimsDigest [32]byte, requestID [16]byte) ([]byte, *hpke.Recipient, error) {
	if len(ciphertext) > MaxCiphertext {
		return nil, nil, ErrTooLarge
	}
	_, kdf, aead := suite()
	recipient, err := hpke.NewRecipient(enc, k.key, kdf, aead, []byte(info))
	if err != nil {
		return nil, nil, ErrUnsealable
	}
	plaintext, err := recipient.Open(associatedData(claimsDigest, requestID), ciphertext)
	if err != nil {
		return nil, nil, ErrUnsealable
	}
	return plaintext, recipient, nil
}

// CheckConfirm compares the answer got with the one that [Seal] announced, in
// constant time. Anything but equal values of full length is [ErrUnconfirmed].
func CheckConfirm(want, got []byte) error {
	if len(want) != ConfirmSize || !hmac.Equal(want, got) {
		return ErrUnconfirmed
	}
	return nil
}

func associatedData(claimsDigest [32]byte, requestID [16]byte) []byte {
	return append(claimsDigest[:len(claimsDigest):len(claimsDigest)], requestID[:]...)
}

func confirmation(secret []byte, requestID [16]byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(requestID[:])
	return mac.Sum(nil)
}
