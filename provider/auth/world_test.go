package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// signer is a key pair of an issuer.
type signer struct {
	id   string
	alg  jose.SignatureAlgorithm
	priv crypto.Signer
}

func ec(id string) signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{id, jose.ES256, k}
}

func ed(id string) signer {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{id, jose.EdDSA, k}
}

func rsaKey(id string, bits int) signer {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return signer{id, jose.RS256, k}
}

// big is the one RSA key of these tests: making one takes long.
var big = sync.OnceValue(func() signer { return rsaKey("rsa", 2048) })

func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.priv.Public(), KeyID: s.id, Algorithm: string(s.alg), Use: "sig"}
}

func (s signer) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	return signWith(t, s.alg, s.priv, map[jose.HeaderKey]any{"kid": s.id, "typ": "JWT"}, claims)
}

func signWith(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// with is claims with some changed; nil takes one away.
func with(claims, changes map[string]any) map[string]any {
	out := maps.Clone(claims)
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

func keySet(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: append([]jose.JSONWebKey{}, keys...)})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func newAuth(t testing.TB, cfg auth.Config) *auth.Authenticator {
	t.Helper()
	a, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest("POST", "http://provider.example/deploy", nil)
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return r
}

func call(a *auth.Authenticator, token string) (auth.Principal, error) {
	return a.Authenticate(context.Background(), request("Bearer "+token))
}

// wantErr checks an error's class and reason; "" wants none.
func wantErr(t testing.TB, err error, reason string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	code := status.Unauthenticated
	switch reason {
	case "auth.unavailable":
		code = status.Unavailable
	case "auth.scope", "auth.origin":
		code = status.PermissionDenied
	}
	if !errors.Is(err, status.New(code, reason, "")) {
		t.Errorf("got %s %s (%v), want %s %s", status.CodeOf(err), status.ReasonOf(err), err, code, reason)
	}
}

func scopeTexts(p auth.Principal) string {
	var texts []string
	for _, s := range p.Scopes {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, " ")
}

// good is the claims of a token that plain accepts.
func good() map[string]any {
	return map[string]any{
		"iss": iss, "aud": aud, "sub": "alice", "exp": start.Add(time.Hour).Unix(), "scope": "openid deploy:team-a read:team-b",
	}
}

// faultsOf is the fields that an error finds fault with.
func faultsOf(err error) []string {
	var e *status.Error
	if !errors.As(err, &e) {
		return nil
	}
	var fields []string
	for _, f := range e.Faults {
		fields = append(fields, f.Field)
	}
	return fields
}

// fieldsOf is fields as a set.
func fieldsOf(fields []string) []string {
	fields = slices.Clone(fields)
	slices.Sort(fields)
	return slices.Compact(fields)
}

// allText is everything that an error can show, to a stranger or to a log.
func allText(err error) string {
	if err == nil {
		return ""
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, status.Public(err))
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += fmt.Sprintf(" %v %#v", e, e)
	}
	return text + auth.Challenge(err)
}
