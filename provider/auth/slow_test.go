package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"apocryph/provider/auth"
)

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

// TestFetchOutlivesItsCaller: who asked first hangs up, and the others get the
// keys all the same.
func TestFetchOutlivesItsCaller(t *testing.T) {
	key := ec("k")
	body := keySet(t, key.jwk())
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, auth.Config{
			JWKSURL: "https://issuer.example/keys", Issuer: iss, Audience: aud,
			Client: &http.Client{Transport: inProcess(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(4 * time.Second):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
				w := httptest.NewRecorder()
				_, _ = w.Write(body)
				return w.Result(), nil
			})},
		})
		token := key.sign(t, with(good(), map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
		first, hangUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = a.Authenticate(first, request("Bearer "+token).WithContext(first)) })
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				_, err := call(a, token)
				wantErr(t, err, "")
			})
		}
		synctest.Wait()
		hangUp()
		wg.Wait()
	})
}

// TestSlowRefresh has a cached set and an issuer that went silent: one caller
// waits for it, the others do not.
func TestSlowRefresh(t *testing.T) {
	key := ec("k")
	body := keySet(t, key.jwk())
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

// TestProjectIsNotFlooded has 100 tokens that only a silent project can judge.
func TestProjectIsNotFlooded(t *testing.T) {
	tokens := make([]string, 100)
	synctest.Test(t, func(t *testing.T) {
		var open, most atomic.Int64
		a := newAuth(t, auth.Config{
			SupabaseURL: "https://ref.supabase.co", SupabaseServiceRoleKey: serviceKey,
			Client: &http.Client{Transport: inProcess(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != userPath {
					w := httptest.NewRecorder()
					_, _ = w.WriteString(`{"keys":[]}`)
					return w.Result(), nil
				}
				most.Store(max(most.Load(), open.Add(1)))
				defer open.Add(-1)
				<-r.Context().Done()
				return nil, r.Context().Err()
			})},
		})
		begin := time.Now()
		for n := range tokens {
			tokens[n] = signWith(t, jose.HS256, legacy, nil, map[string]any{
				"iss": "https://ref.supabase.co/auth/v1", "aud": "authenticated", "sub": "x", "n": n, "exp": begin.Add(time.Hour).Unix(),
			})
		}
		var wg sync.WaitGroup
		for _, token := range tokens {
			wg.Go(func() {
				_, err := a.Authenticate(context.Background(), request("Bearer "+token))
				wantErr(t, err, "auth.unavailable")
			})
		}
		wg.Wait()
		if d := time.Since(begin); d > 5*time.Second || most.Load() != 16 {
			t.Errorf("%d questions at once, for %s", most.Load(), d)
		}
	})
}
