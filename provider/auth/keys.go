package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeySet bounds a JWK set, in bytes, and maxKeys the keys in it: its
	// server is trusted to name keys, not with our memory.
	maxKeySet = 256 << 10
	maxKeys   = 64
	// minRSA is the least that RFC 7518, 3.3 allows, in bits; above maxRSA one
	// verification takes milliseconds, and strangers choose how many.
	minRSA = 2048
	maxRSA = 8192
	// minExponent leaves out 1, with which everybody can sign.
	minExponent = 3
)

// asymmetric is what a key set's keys may sign with.
var asymmetric = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA}

// verifyKey is a public key that decides its algorithm.
type verifyKey struct {
	id  string
	alg jose.SignatureAlgorithm
	key any
}

// parseKeySet reads a JWK set (RFC 7517, 5). Keys that are not for verifying
// with one of our algorithms are left out, as that section asks: symmetric and
// private ones, other curves, weak RSA, encryption keys. A set may be empty.
// Errors quote nothing of the set.
func parseKeySet(body []byte) ([]verifyKey, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is no JWK set")
	}
	if len(*set.Keys) > maxKeys {
		return nil, errors.New("the JWK set has too many keys")
	}
	var keys []verifyKey
	for _, raw := range *set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil {
			continue
		}
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		alg, ok := algorithmOf(k.Key)
		if !ok || k.Algorithm != "" && k.Algorithm != string(alg) {
			continue
		}
		keys = append(keys, verifyKey{k.KeyID, alg, k.Key})
	}
	return keys, nil
}

// algorithmOf is the one algorithm of a public key, false for any other key.
func algorithmOf(key any) (jose.SignatureAlgorithm, bool) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return jose.ES256, k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		return jose.RS256, bits >= minRSA && bits <= maxRSA && k.E >= minExponent
	case ed25519.PublicKey:
		return jose.EdDSA, len(k) == ed25519.PublicKeySize
	}
	return "", false
}

// pick is the key that a token's header names. A token without key id is
// verified only where there is no choice.
func pick(keys []verifyKey, id string, alg jose.SignatureAlgorithm) (verifyKey, bool) {
	var found verifyKey
	n := 0
	for _, k := range keys {
		if k.alg != alg || id != "" && k.id != id {
			continue
		}
		if n++; n == 1 {
			found = k
		}
	}
	return found, n == 1
}
