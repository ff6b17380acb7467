package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Authenticator says who a request's caller is. It is safe for concurrent use,
// starts no goroutine and has nothing to close.
type Authenticator struct {
	demands    demands
	algorithms []jose.SignatureAlgorithm
	keys       *keySource
	hs256      []byte
	serviceKey serviceKey
	users      *projectUsers
	tokens     TokenStore
	// tokenMu keeps the note of a use and a revocation apart.
	tokenMu sync.Mutex
	none    bool
	now     func() time.Time
	log     *slog.Logger
}

// Configured reports whether there is any way to authenticate over TCP. A store
// of tokens is one, also while it has none.
func (a *Authenticator) Configured() bool {
	return a.none || a.tokens != nil || len(a.algorithms) > 0
}

// Authenticate is the caller of a request. Its errors are
//
//   - unauthenticated (401): nothing was shown (auth.missing), there is nothing
//     to show (auth.unconfigured), or what was shown is wrong: auth.malformed,
//     auth.algorithm, auth.signature, auth.key, auth.claims, auth.expired,
//     auth.not_yet, auth.issuer, auth.audience, auth.unknown, auth.rejected,
//     auth.socket;
//   - permission_denied (403): another user's call through the socket
//     (auth.socket), or a web page's without authentication (auth.origin);
//   - unavailable (503), auth.unavailable: who knows does not answer.
//
// ctx bounds reading the store of tokens. Asking an issuer takes 5 seconds at
// most, and is shared between callers.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request) (Principal, error) {
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		return fromSocket(p)
	}
	if a.none {
		return fromAnyone(r)
	}
	if !a.Configured() {
		return Principal{}, refuse("unconfigured", "this provider authenticates nobody over TCP: no way to do so is configured").
			WithHint("call through the unix socket, or configure %s and %s, or a key set with --api-jwks", EnvSupabaseURL, EnvSupabaseKey)
	}
	token, err := bearer(r.Header)
	if err != nil {
		return Principal{}, err
	}
	switch {
	case a.serviceKey.is(token):
		return a.serviceKey.principal(a.now())
	case isLocal(token):
		return a.fromToken(ctx, token)
	case strings.HasPrefix(token, "sb_secret_"), strings.HasPrefix(token, "sb_publishable_"):
		return Principal{}, refuse("unknown", "the token is a key of a Supabase project, and not the one that is configured here").
			WithHint("use a user's access token, or the key that %s has at the provider", EnvSupabaseKey)
	case len(a.algorithms) == 0:
		return Principal{}, refuse("malformed", "the token is not one of this provider, and it accepts no others").
			WithHint("tokens of `provider token create` begin with %s", tokenPrefix)
	}
	return a.fromJWT(ctx, token)
}

// serviceKey is a Supabase project's secret key, as its hash: both sides of the
// comparison have one length then, whatever a stranger sends.
type serviceKey struct {
	set     bool
	hash    [sha256.Size]byte
	expires time.Time // of a key that is a JWT
}

func newServiceKey(key string) serviceKey {
	k := serviceKey{set: true, hash: hashOf(key)}
	var c claims
	if parsed, err := jwt.ParseSigned(key, append([]jose.SignatureAlgorithm{jose.HS256}, asymmetric...)); err == nil &&
		parsed.UnsafeClaimsWithoutVerification(&c) == nil && c.Expiry != nil {
		k.expires = c.Expiry.Time().UTC()
	}
	return k
}

func (k serviceKey) is(token string) bool {
	hash := hashOf(token)
	return k.set && subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1
}

func (k serviceKey) principal(now time.Time) (Principal, error) {
	if !k.expires.IsZero() && !now.Before(k.expires) {
		return Principal{}, refuse("expired", "the project's service key ended at %s", k.expires.Format(time.RFC3339)).
			WithHint("make a new key in the project, and set %s to it", EnvSupabaseKey)
	}
	return Principal{Subject: "supabase:" + roleService, Operator: true, Via: ViaSupabase, Expires: k.expires}, nil
}
