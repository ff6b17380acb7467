package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"apocryph/proto/status"
)

// KeySize is the size of the data key in bytes: AES-256.
const KeySize = 32

// sealer encrypts single cells. Its nonces are random, which is safe for 2^32
// cells under one key (NIST SP 800-38D, 8.3): five cells a save, far more saves
// than a disk survives.
type sealer struct {
	aead cipher.AEAD
	// id names the key in rows; it tells nothing about it.
	id []byte
}

const (
	keyIDTag  = "apocryph/store/key-id/1"
	keyIDSize = 16
)

func newSealer(key []byte) (sealer, error) {
	if len(key) != KeySize {
		return sealer{}, status.New(status.InvalidArgument, "store.key", "data key has %d bytes, want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("using the data key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealer{}, fmt.Errorf("using the data key: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(keyIDTag)) // a hash's Write never returns an error
	return sealer{aead, mac.Sum(nil)[:keyIDSize]}, nil
}

// cell is the additional data that ties a ciphertext to its place.
func cell(table, column string, rowid int64) []byte {
	return strconv.AppendInt([]byte(table+"/"+column+"/"), rowid, 10)
}

// seal returns nonce || ciphertext || tag.
func (s sealer) seal(aad, plain []byte) []byte {
	out := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(out) // crypto/rand.Read never returns an error (Go 1.24)
	return s.aead.Seal(out, out, plain, aad)
}

var errUnsealed = errors.New("sealed value does not open")

func (s sealer) open(aad, sealed []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, errUnsealed
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], aad)
	if err != nil {
		return nil, errUnsealed
	}
	return plain, nil
}
