package state

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"apocryph/proto/status"
)

const keySize = 32

// box encrypts secrets at rest under the key in a file.
type box struct{ path string }

// key reads the key; create makes it where it is missing, and is only for who
// holds the lock for changes.
func (b *box) key(create bool) ([]byte, error) {
	key, err := readFile(b.path)
	if errors.Is(err, fs.ErrNotExist) && create {
		fresh := make([]byte, keySize)
		if _, err := rand.Read(fresh); err != nil {
			return nil, fmt.Errorf("making state key: %w", err)
		}
		if err := replace(b.path, fresh); err != nil {
			return nil, fmt.Errorf("writing state key: %w", err)
		}
		return fresh, nil
	}
	if err != nil {
		return nil, status.Wrap(err, status.NotFound, "state.key", "the key %s is not readable, so secrets in the state are lost", b.path).
			WithHint("put the file back, or deploy again: that makes new keys")
	}
	if len(key) != keySize {
		return nil, status.New(status.InvalidArgument, "state.key", "%s has %d bytes, want %d", b.path, len(key), keySize).
			WithHint("put the file back; or move it away and deploy again: that makes new keys")
	}
	return key, nil
}

func (b *box) aead(create bool) (cipher.AEAD, error) {
	key, err := b.key(create)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing state key: %w", err)
	}
	// 96-bit random nonces are safe for 2^32 messages, far more than there will be.
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts a secret and binds it to its place, so that secrets cannot be
// swapped between files.
func (b *box) seal(plain []byte, place string) ([]byte, error) {
	a, err := b.aead(true)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, plain, []byte(place)), nil
}

func (b *box) open(sealed []byte, place string) ([]byte, error) {
	a, err := b.aead(false)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return nil, status.New(status.InvalidArgument, "state.key", "a secret of %s does not open with %s", place, b.path).
			WithHint("put the right key file back, or deploy again: that makes new keys")
	}
	return plain, nil
}
