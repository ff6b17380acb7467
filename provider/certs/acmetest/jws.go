package acmetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
)

// maxRequest is in bytes.
const maxRequest = 64 << 10

// signed is a JWS in the flattened JSON serialization (RFC 7515, 7.2.2).
type signed struct {
	Protected string `json:"protected"`
	Payload   string `json:"payload"`
	Signature string `json:"signature"`
}

// header is the protected one (RFC 8555, 6.2).
type header struct {
	Alg   string `json:"alg"`
	Kid   string `json:"kid"`
	JWK   *jwk   `json:"jwk"`
	Nonce string `json:"nonce"`
	URL   string `json:"url"`
}

// jwk is a key on P-256 (RFC 7518, 6.2.1), its members in the order of RFC 7638.
type jwk struct {
	Crv string `json:"crv"`
	Kty string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// thumbprint is that of RFC 7638.
func (j jwk) thumbprint() string {
	b, _ := json.Marshal(j) // strings alone
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (j jwk) verify(input string, signature []byte) error {
	x, errX := base64.RawURLEncoding.DecodeString(j.X)
	y, errY := base64.RawURLEncoding.DecodeString(j.Y)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if j.Kty != "EC" || j.Crv != "P-256" || len(x) != 32 || len(y) != 32 || len(signature) != 64 {
		return errors.New("not an ES256 key and signature")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(input))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature is not by this key")
	}
	return nil
}

// open checks a request and returns its payload and the key that signed it. The
// server's lock is held.
func (s *Server) open(req *http.Request) (payload []byte, key jwk, err error) {
	if got := req.Header.Get("Content-Type"); got != "application/jose+json" {
		return nil, key, fmt.Errorf("content type %q", got)
	}
	b, err := io.ReadAll(io.LimitReader(req.Body, maxRequest))
	if err != nil {
		return nil, key, err
	}
	var in signed
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, key, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(in.Protected)
	if err != nil {
		return nil, key, err
	}
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, key, err
	}
	if !s.nonces[h.Nonce] {
		return nil, key, errors.New("a nonce that was not given, or was used")
	}
	delete(s.nonces, h.Nonce)
	if h.Alg != "ES256" || h.URL != s.http.URL+req.URL.Path || (h.Kid == "") == (h.JWK == nil) {
		return nil, key, fmt.Errorf("protected header %s", raw)
	}
	switch account, ok := s.accounts[h.Kid]; {
	case h.JWK != nil && req.URL.Path == pathAccount:
		key = *h.JWK
	case ok:
		key = account
	default:
		return nil, key, errors.New("an account that does not exist")
	}
	signature, err := base64.RawURLEncoding.DecodeString(in.Signature)
	if err != nil {
		return nil, key, err
	}
	if err := key.verify(in.Protected+"."+in.Payload, signature); err != nil {
		return nil, key, err
	}
	payload, err = base64.RawURLEncoding.DecodeString(in.Payload)
	return payload, key, err
}
