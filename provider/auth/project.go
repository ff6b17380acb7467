package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/sync/singleflight"

	"apocryph/proto/status"
)

const (
	// confirmFor is how long a project's yes counts: so long a user who was
	// logged out there still is let in here.
	confirmFor = time.Minute
	// maxConfirmed bounds the remembered answers. Only tokens that the project
	// signed become one.
	maxConfirmed = 1024
	// maxAsking bounds the questions that are open at once: strangers can make
	// up tokens that only the project can judge.
	maxAsking = 16
	// maxUser bounds a project's answer, in bytes.
	maxUser = 64 << 10
)

// projectUsers asks a Supabase project about tokens: GET /auth/v1/user says who
// a token's user is, if the project signed it and the session is not over.
type projectUsers struct {
	url, key string
	client   *http.Client
	now      func() time.Time
	asking   chan struct{}
	flight   singleflight.Group

	mu        sync.Mutex
	confirmed map[[sha256.Size]byte]confirmation
}

type confirmation struct{ at, until time.Time }

// fromProject is the principal of a token that only the project can verify. Its
// claims are looked at first, so that what could never be accepted is not asked
// about, and count only after the project's yes. It never makes an operator of
// the role: for that the signature has to be verified here.
func (a *Authenticator) fromProject(ctx context.Context, token string, parsed *jwt.JSONWebToken) (Principal, error) {
	var c claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		return Principal{}, refuse("claims", "the token's claims cannot be read")
	}
	if c.Role == roleService {
		return Principal{}, refuse("key", "the token is of the role %s and not verifiable here", roleService).
			WithHint("use the key that SUPABASE_SERVICE_ROLE_KEY has, or one signed with a key of the project's JWK set")
	}
	if err := a.demands.check(c, a.now()); err != nil {
		return Principal{}, err
	}
	if err := a.users.confirm(ctx, token, c.Subject, c.Expiry.Time()); err != nil {
		return Principal{}, err
	}
	return a.demands.principal(c)
}

// confirm is nil where the project says that the token is the subject's.
func (u *projectUsers) confirm(ctx context.Context, token, subject string, expires time.Time) error {
	hash := sha256.Sum256([]byte(token))
	if u.remembered(hash) {
		return nil
	}
	_, err, _ := u.flight.Do(string(hash[:]), func() (any, error) {
		// Not the caller's alone: others with the same token wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), remoteTimeout)
		defer cancel()
		select {
		case u.asking <- struct{}{}:
			defer func() { <-u.asking }()
		case <-ctx.Done():
			return nil, unknowable(ctx.Err(), time.Second, "too many tokens are being checked with the project")
		}
		if err := u.ask(ctx, token, subject); err != nil {
			return nil, err
		}
		u.remember(hash, expires)
		return nil, nil
	})
	return err
}

func (u *projectUsers) ask(ctx context.Context, token, subject string) error {
	header := http.Header{"Apikey": {u.key}, "Authorization": {"Bearer " + token}}
	code, body, err := get(ctx, u.client, u.url, header, maxUser)
	switch {
	case err != nil:
		return unknowable(err, time.Second, "the project does not answer, so this token cannot be checked")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return refuse("rejected", "the project does not accept the token").WithHint("log in again")
	case code != http.StatusOK:
		return unknowable(errors.New(http.StatusText(code)), time.Second, "the project cannot check this token now")
	}
	var user struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &user); err != nil || user.ID == "" {
		return status.New(status.Unavailable, "auth.unavailable", "the project's answer about this token cannot be read")
	}
	if user.ID != subject {
		return refuse("rejected", "the project knows the token as another user's")
	}
	return nil
}

func (u *projectUsers) remembered(hash [sha256.Size]byte) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	c, ok := u.confirmed[hash]
	return ok && c.holds(u.now())
}

// remember keeps a yes for a minute, and not beyond the token's own end.
func (u *projectUsers) remember(hash [sha256.Size]byte, expires time.Time) {
	now := u.now()
	c := confirmation{at: now, until: now.Add(confirmFor)}
	if expires.Before(c.until) {
		c.until = expires
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.confirmed) >= maxConfirmed {
		for h, old := range u.confirmed {
			if !old.holds(now) {
				delete(u.confirmed, h)
			}
		}
	}
	if len(u.confirmed) < maxConfirmed {
		u.confirmed[hash] = c
	}
}

func (c confirmation) holds(now time.Time) bool { return !now.Before(c.at) && now.Before(c.until) }
