package certs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

const (
	// KeySize is the size of [AuthorityConfig.SealKey] in bytes (AES-256).
	KeySize = 32
	// keysFile is in the authority's directory: a nonce of 12 bytes, then the
	// keys under AES-256-GCM (NIST SP 800-38D).
	keysFile = "keys.sealed"
	// keysLabel is authenticated with it, so that nothing else that may be
	// sealed with the same key passes for it.
	keysLabel = "apocryph/ingress/keys/1"
	// maxKeysFile is in bytes; what is longer was not written here.
	maxKeysFile = 4 << 10
)

// keys are what has to outlive the process: authorities limit how often they
// sign, and know an account by its key.
type keys struct {
	tls, account *ecdsa.PrivateKey
}

// sealedKeys is the plaintext of keysFile: PKCS #8 (RFC 5958).
type sealedKeys struct {
	TLS     []byte `json:"tls"`
	Account []byte `json:"account"`
}

// openKeys opens the keys in dir. Where there are none, or they are sealed to
// another state of the machine, it makes new ones and replaces what is there:
// who put a foreign file there gains nothing but new orders.
func openKeys(dir string, sealKey []byte, log *slog.Logger) (keys, error) {
	aead, err := sealer(sealKey)
	if err != nil {
		return keys{}, err
	}
	path := filepath.Join(dir, keysFile)
	b, err := readBounded(path, maxKeysFile)
	switch {
	case err == nil:
		k, err := unseal(aead, b)
		if err == nil {
			return k, nil
		}
		log.Warn("the ingress's keys do not open in this state of the machine: making new ones, and ordering certificates again")
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errTooLong):
		return keys{}, fmt.Errorf("reading the ingress's keys: %w", err)
	}
	k, err := newKeys()
	if err != nil {
		return keys{}, err
	}
	if b, err = seal(aead, k); err != nil {
		return keys{}, err
	}
	return k, replaceFile(path, b)
}

func newKeys() (k keys, err error) {
	for _, key := range []**ecdsa.PrivateKey{&k.tls, &k.account} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return keys{}, fmt.Errorf("making the ingress's keys: %w", err)
		}
	}
	return k, nil
}

func sealer(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a sealing key of %d bytes, want %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func seal(aead cipher.AEAD, k keys) ([]byte, error) {
	tls, err := x509.MarshalPKCS8PrivateKey(k.tls)
	if err != nil {
		return nil, err
	}
	account, err := x509.MarshalPKCS8PrivateKey(k.account)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(sealedKeys{tls, account})
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, plain, []byte(keysLabel)), nil
}

var errSealed = errors.New("not sealed with this key")

func unseal(aead cipher.AEAD, b []byte) (keys, error) {
	if len(b) < aead.NonceSize() {
		return keys{}, errSealed
	}
	plain, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], []byte(keysLabel))
	if err != nil {
		return keys{}, errSealed
	}
	var in sealedKeys
	if err := json.Unmarshal(plain, &in); err != nil {
		return keys{}, errSealed
	}
	tls, err := parseKey(in.TLS)
	if err != nil {
		return keys{}, err
	}
	account, err := parseKey(in.Account)
	return keys{tls, account}, err
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errSealed
	}
	if k, ok := key.(*ecdsa.PrivateKey); ok && k.Curve == elliptic.P256() {
		return k, nil
	}
	return nil, errSealed
}

var errTooLong = errors.New("too long")

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLong
	}
	return b, err
}

// replaceFile makes path a file of mode 0600 with b in it; a crash leaves what
// was there or b, on the disk.
func replaceFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening a directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
