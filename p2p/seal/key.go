package seal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/keywrap/jwe"
)

const (
	annotationKey     = encryptionPrefix + "keys.jwe"
	annotationPubOpts = encryptionPrefix + "pubopts"
)

// keyIDBytes is how much of the hash a key id has; 16 bytes do not collide by chance.
const keyIDBytes = 16

// revisionKey is the recipient of one revision.
type revisionKey struct {
	id          string
	spki, pkcs8 []byte
}

func newKey() (*revisionKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making revision key: %w", err)
	}
	k := new(revisionKey)
	if k.pkcs8, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, fmt.Errorf("encoding revision key: %w", err)
	}
	if k.spki, err = x509.MarshalPKIXPublicKey(&private.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding revision key: %w", err)
	}
	k.id = KeyID(k.spki)
	return k, nil
}

// KeyID is the name of a public key given as SubjectPublicKeyInfo DER: the hex
// of the first 16 bytes of its SHA-256.
func KeyID(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:keyIDBytes])
}

// wrap returns the annotations of a layer's descriptor, with the layer key
// wrapped for k alone. The ciphertext is not touched.
func (k *revisionKey) wrap(e entry) (map[string]string, error) {
	packet, err := jwe.NewKeyWrapper().WrapKeys(&config.EncryptConfig{Parameters: map[string][][]byte{"pubkeys": {k.spki}}}, e.Private)
	if err != nil {
		return nil, fmt.Errorf("wrapping layer key: %w", err)
	}
	return map[string]string{
		annotationKey:     base64.StdEncoding.EncodeToString(packet),
		annotationPubOpts: base64.StdEncoding.EncodeToString(e.Public),
	}, nil
}
