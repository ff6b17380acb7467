package auth_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"apocryph/provider/auth"
)

// issuer plays the two endpoints of a Supabase project that matter here; the
// first is also any issuer's JWK set.
type issuer struct {
	*httptest.Server
	mu   sync.Mutex
	keys http.HandlerFunc
	user http.HandlerFunc

	keyFetches, userAsks atomic.Int64
}

const (
	keysPath = "/auth/v1/.well-known/jwks.json"
	userPath = "/auth/v1/user"
)

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	keys, user := i.keys, i.user
	i.mu.Unlock()
	switch r.URL.Path {
	case keysPath:
		i.keyFetches.Add(1)
		keys(w, r)
	case userPath:
		i.userAsks.Add(1)
		user(w, r)
	default:
		http.NotFound(w, r)
	}
}

func newIssuer(t testing.TB, keys ...jose.JSONWebKey) *issuer {
	t.Helper()
	i := &issuer{keys: answer(200, keySet(t, keys...)), user: answer(500, nil)}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) setKeys(h http.HandlerFunc) { i.mu.Lock(); i.keys = h; i.mu.Unlock() }
func (i *issuer) setUser(h http.HandlerFunc) { i.mu.Lock(); i.user = h; i.mu.Unlock() }

func answer(code int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write(body)
	}
}

const (
	iss = "https://issuer.example"
	aud = "apocryph"
)

// plain configures the issuer as a JWK set; supabase as a project.
func (i *issuer) plain(c *clock) auth.Config {
	return auth.Config{JWKSURL: i.URL + keysPath, Issuer: iss, Audience: aud, Client: i.Client(), Now: c.Now}
}

const serviceKey = "sb_secret_CANARYk3yCANARYk3yCANARYk3y_chk"

func (i *issuer) supabase(c *clock) auth.Config {
	return auth.Config{SupabaseURL: i.URL + "/", SupabaseServiceRoleKey: serviceKey, Client: i.Client(), Now: c.Now}
}
