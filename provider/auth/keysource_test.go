package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

func TestFloodOfUnknownKeys(t *testing.T) {
	old, made := ec("old"), ec("new")
	i := newIssuer(t, old.jwk())
	c := &clock{now: start}
	a := newAuth(t, i.plain(c))
	flood := func() {
		t.Helper()
		for n := range 50 {
			made.id = fmt.Sprint("guess", n)
			_, err := call(a, made.sign(t, good()))
			wantErr(t, err, "auth.key")
		}
		made.id = "new"
	}
	wantFetches := func(n int64) {
		t.Helper()
		if got := i.keyFetches.Load(); got != n {
			t.Errorf("%d fetches, want %d", got, n)
		}
	}
	flood()
	wantFetches(1)
	// The issuer rotates; the flood goes on, and costs one fetch in 30 s.
	i.setKeys(answer(200, keySet(t, made.jwk())))
	c.add(29 * time.Second)
	flood()
	wantFetches(1)
	_, err := call(a, old.sign(t, good()))
	wantErr(t, err, "")
	c.add(time.Second)
	_, err = call(a, made.sign(t, good()))
	wantErr(t, err, "")
	wantFetches(2)
	flood()
	wantFetches(2)
	// The key that is gone from the set is gone.
	_, err = call(a, old.sign(t, good()))
	wantErr(t, err, "auth.key")
	// A clock that was set back does not stop the fetches.
	c.add(-time.Hour)
	_, err = call(a, made.sign(t, with(good(), map[string]any{"nbf": nil})))
	wantErr(t, err, "")
	wantFetches(3)
}

func TestKeyTakenOut(t *testing.T) {
	key := ec("k")
	i := newIssuer(t, key.jwk())
	c := &clock{now: start}
	a := newAuth(t, i.plain(c))
	token := key.sign(t, good())
	_, err := call(a, token)
	wantErr(t, err, "")
	i.setKeys(answer(200, keySet(t)))
	c.add(10*time.Minute - time.Second)
	_, err = call(a, token)
	wantErr(t, err, "")
	c.add(time.Second)
	_, err = call(a, token)
	wantErr(t, err, "auth.key")
}

func TestKeysDown(t *testing.T) {
	key, other := ec("k"), ec("other")
	i := newIssuer(t, key.jwk())
	c := &clock{now: start}
	a := newAuth(t, i.plain(c))
	token := key.sign(t, with(good(), map[string]any{"exp": start.Add(5 * time.Hour).Unix()}))
	_, err := call(a, token)
	wantErr(t, err, "")
	i.setKeys(answer(503, nil))
	c.add(30 * time.Second)
	_, err = call(a, other.sign(t, good()))
	wantErr(t, err, "auth.unavailable")
	var e *status.Error
	if !errors.As(err, &e) || e.RetryAfter != 30*time.Second {
		t.Errorf("retry after %+v", e)
	}
	// What is known stays known for an hour after it was fetched.
	for range 5 {
		c.add(11 * time.Minute)
		_, err = call(a, token)
		wantErr(t, err, "")
	}
	c.add(start.Add(time.Hour).Sub(c.Now()))
	_, err = call(a, token)
	wantErr(t, err, "auth.unavailable")
	// And comes back with the issuer, after the time that was named.
	i.setKeys(answer(200, keySet(t, key.jwk())))
	_, err = call(a, token)
	wantErr(t, err, "auth.unavailable")
	c.add(30 * time.Second)
	_, err = call(a, token)
	wantErr(t, err, "")
}

func TestNeverUp(t *testing.T) {
	i := newIssuer(t)
	cfg := i.plain(&clock{now: start})
	i.Close()
	key := ec("k")
	a := newAuth(t, cfg)
	for range 3 {
		_, err := call(a, key.sign(t, good()))
		wantErr(t, err, "auth.unavailable")
	}
	if n := i.keyFetches.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

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
		"redirect":        {http.RedirectHandler(elsewhere.URL, 302).ServeHTTP, "auth.unavailable"},
		"redirect, 307":   {http.RedirectHandler(elsewhere.URL, 307).ServeHTTP, "auth.unavailable"},
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

// inProcess answers requests without a network, so that time can be the
// bubble's of synctest.
type inProcess func(*http.Request) (*http.Response, error)

func (f inProcess) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSlowKeys has an issuer that never answers: a hundred callers share one
// request, and all are told after 5 seconds, also who comes late.
func TestSlowKeys(t *testing.T) {
	key := ec("k")
	synctest.Test(t, func(t *testing.T) {
		var fetches int
		a := newAuth(t, auth.Config{
			JWKSURL: "https://issuer.example/keys", Issuer: iss, Audience: aud,
			Client: &http.Client{Transport: inProcess(func(r *http.Request) (*http.Response, error) {
				fetches++
				<-r.Context().Done()
				return nil, r.Context().Err()
			})},
		})
		begin := time.Now()
		token := key.sign(t, with(good(), map[string]any{"exp": begin.Add(time.Hour).Unix()}))
		gone, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				ctx := t.Context()
				if n%2 == 0 {
					ctx = gone
				}
				_, err := a.Authenticate(ctx, request("Bearer "+token).WithContext(ctx))
				wantErr(t, err, "auth.unavailable")
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if d := time.Since(begin); d != 5*time.Second || fetches != 1 {
			t.Errorf("%d fetches in %s", fetches, d)
		}
		_, err := call(a, token)
		wantErr(t, err, "auth.unavailable")
		if d := time.Since(begin); d != 5*time.Second || fetches != 1 {
			t.Errorf("%d fetches in %s", fetches, d)
		}
	})
}

// TestSlowRefresh has a cached set and an issuer that went silent: one caller
// waits for it, the others do not.
func TestSlowRefresh(t *testing.T) {
	key := ec("k")
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.jwk()}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		silent := false
		a := newAuth(t, auth.Config{
			JWKSURL: "https://issuer.example/keys", Issuer: iss, Audience: aud,
			Client: &http.Client{Transport: inProcess(func(r *http.Request) (*http.Response, error) {
				if silent {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				w := httptest.NewRecorder()
				_, _ = w.Write(body)
				return w.Result(), nil
			})},
		})
		token := key.sign(t, with(good(), map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
		_, err := call(a, token)
		wantErr(t, err, "")
		silent = true
		<-time.After(10 * time.Minute)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := call(a, token)
			wantErr(t, err, "")
		})
		synctest.Wait()
		for range 10 {
			_, err := call(a, token)
			wantErr(t, err, "")
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("callers with a known key waited %s", d)
		}
		wg.Wait()
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("the fetch took %s", d)
		}
	})
}
