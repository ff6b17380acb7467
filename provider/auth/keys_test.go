package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	bigint "math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestHostileKeySets are answers in place of a key set. A token of the right key
// gets in where the set is good for it, and nowhere else.
func TestHostileKeySets(t *testing.T) {
	key := ec("k")
	other := ec("other")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(answer(200, keySet(t, key.jwk())))
	t.Cleanup(elsewhere.Close)
	many := func(n int) []byte {
		keys := make([]jose.JSONWebKey, n)
		for i := range keys {
			keys[i] = other.jwk()
			keys[i].KeyID = fmt.Sprint("x", i)
		}
		keys[n-1] = key.jwk()
		return keySet(t, keys...)
	}
	change := func(f func(*jose.JSONWebKey)) []byte {
		k := key.jwk()
		f(&k)
		return keySet(t, k)
	}
	right := keySet(t, key.jwk())
	tests := map[string]struct {
		h      http.HandlerFunc
		reason string
	}{
		"right":           {answer(200, right), ""},
		"64 keys":         {answer(200, many(64)), ""},
		"65 keys":         {answer(200, many(65)), "auth.unavailable"},
		"256 KiB":         {answer(200, append(right, bytes.Repeat([]byte(" "), 256<<10-len(right))...)), ""},
		"256 KiB and 1":   {answer(200, append(right, bytes.Repeat([]byte(" "), 256<<10+1-len(right))...)), "auth.unavailable"},
		"no JSON":         {answer(200, []byte("<html>")), "auth.unavailable"},
		"a list":          {answer(200, []byte("[]")), "auth.unavailable"},
		"no keys member":  {answer(200, []byte("{}")), "auth.unavailable"},
		"cut short":       {answer(200, right[:len(right)-1]), "auth.unavailable"},
		"no content":      {answer(204, nil), "auth.unavailable"},
		"partial":         {answer(206, right), "auth.unavailable"},
		"not found":       {answer(404, right), "auth.unavailable"},
		"server error":    {answer(500, right), "auth.unavailable"},
		"redirect":        {http.RedirectHandler(elsewhere.URL, http.StatusFound).ServeHTTP, "auth.unavailable"},
		"redirect, 307":   {http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP, "auth.unavailable"},
		"empty":           {answer(200, []byte(`{"keys":[]}`)), "auth.key"},
		"null keys":       {answer(200, []byte(`{"keys":[null,1,"x",{}]}`)), "auth.key"},
		"symmetric":       {answer(200, keySet(t, jose.JSONWebKey{Key: bytes.Repeat([]byte("s"), 32), KeyID: "k"})), "auth.key"},
		"private":         {answer(200, keySet(t, jose.JSONWebKey{Key: key.priv, KeyID: "k"})), "auth.key"},
		"another curve":   {answer(200, keySet(t, jose.JSONWebKey{Key: p384.Public(), KeyID: "k"})), "auth.key"},
		"for encryption":  {answer(200, change(func(k *jose.JSONWebKey) { k.Use = "enc" })), "auth.key"},
		"another alg":     {answer(200, change(func(k *jose.JSONWebKey) { k.Algorithm = "ES384" })), "auth.key"},
		"no use, no alg":  {answer(200, change(func(k *jose.JSONWebKey) { k.Use, k.Algorithm = "", "" })), ""},
		"same id twice":   {answer(200, keySet(t, other.jwk(), key.jwk(), key.jwk())), "auth.key"},
		"beside nonsense": {answer(200, []byte(strings.Replace(string(right), "[", `[{"kty":"EC"},{"kty":"oct","k":"AA"},`, 1))), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			i.setKeys(tt.h)
			a := newAuth(t, i.plain(&clock{now: start}))
			_, err := call(a, key.sign(t, good()))
			wantErr(t, err, tt.reason)
		})
	}
}

func TestNoKeyID(t *testing.T) {
	a, b := ec("a"), ec("b")
	token := signWith(t, jose.ES256, a.priv, nil, good())
	_, err := call(newAuth(t, newIssuer(t, a.jwk(), ed("c").jwk()).plain(&clock{now: start})), token)
	wantErr(t, err, "")
	_, err = call(newAuth(t, newIssuer(t, a.jwk(), b.jwk()).plain(&clock{now: start})), token)
	wantErr(t, err, "auth.key")
}

// TestRSAKeys: with an exponent of 1 everybody signs, and a huge modulus makes
// each verification dear.
func TestRSAKeys(t *testing.T) {
	pub, ok := big().priv.Public().(*rsa.PublicKey)
	if !ok {
		t.Fatal("no RSA key")
	}
	wide := func(bits int) *bigint.Int { return new(bigint.Int).SetBit(pub.N, bits-1, 1) }
	for name, tt := range map[string]struct {
		key    rsa.PublicKey
		reason string
	}{
		"right":     {*pub, ""},
		"8192 bits": {rsa.PublicKey{N: wide(8192), E: pub.E}, "auth.signature"},
		"8193 bits": {rsa.PublicKey{N: wide(8193), E: pub.E}, "auth.key"},
		"exponent":  {rsa.PublicKey{N: pub.N, E: 1}, "auth.key"},
	} {
		i := newIssuer(t, jose.JSONWebKey{Key: &tt.key, KeyID: "rsa"})
		_, err := call(newAuth(t, i.plain(&clock{now: start})), big().sign(t, good()))
		if wantErr(t, err, tt.reason); t.Failed() {
			t.Fatal(name)
		}
	}
}
