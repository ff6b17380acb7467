package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"apocryph/proto/status"
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
