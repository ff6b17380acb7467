package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

const (
	// MaxTTL is how long a local token may last.
	MaxTTL = 365 * 24 * time.Hour
	// maxName bounds a token's name, in bytes.
	maxName = 64
	// maxTokens bounds the tokens of one provider, so that a script that makes
	// one for each run is told before the store grows without end.
	maxTokens = 1000
	// touchEvery is how exactly LastUsed is kept: a write of the store for
	// every request would be work that callers choose the amount of.
	touchEvery = 10 * time.Minute
)

// Token is a local token as it is stored: the secret itself is not in it.
type Token struct {
	// ID names the token, 13 characters of base32. It is not secret.
	ID string
	// Name is the operator's own word for it, at most 64 bytes.
	Name string
	// Hash is the SHA-256 of the secret; zero in what List returns.
	Hash   [32]byte
	Scopes []Scope
	// Expires is exact, LastUsed to ten minutes, and zero before the first use.
	Created, Expires, LastUsed time.Time
	// CreatedBy is the Subject of the principal who made it.
	CreatedBy string
}

// TokenReader finds tokens.
type TokenReader interface {
	// TokenByHash is the token with this hash, false where there is none.
	TokenByHash(ctx context.Context, hash [32]byte) (Token, bool, error)
	// Tokens is all of them, in any order.
	Tokens(ctx context.Context) ([]Token, error)
}

// TokenWriter changes tokens, durably.
type TokenWriter interface {
	// SaveToken stores a token in place of one with its ID.
	SaveToken(ctx context.Context, t Token) error
	// DeleteToken removes a token; one that is not there is no error.
	DeleteToken(ctx context.Context, id string) error
}

// TokenStore keeps local tokens. One Authenticator at a time writes to it.
type TokenStore interface {
	TokenReader
	TokenWriter
}

// Issue makes a local token for the operator. The secret is returned once and
// is stored nowhere. The name is printable and of 1 to 64 bytes, there are 1 to
// 64 scopes, and ttl is more than 0 and at most [MaxTTL]: all faults are told at
// once, as invalid_argument, auth.token_invalid.
func (a *Authenticator) Issue(ctx context.Context, by Principal, name string, scopes []Scope, ttl time.Duration) (string, Token, error) {
	if err := a.manages(by); err != nil {
		return "", Token{}, err
	}
	if faults := tokenFaults(name, scopes, ttl); len(faults) > 0 {
		return "", Token{}, status.Invalid("auth.token_invalid", "token", faults)
	}
	a.tokenMu.Lock()
	defer a.tokenMu.Unlock()
	all, err := a.tokens.Tokens(ctx)
	if err != nil {
		return "", Token{}, fmt.Errorf("reading tokens: %w", err)
	}
	if len(all) >= maxTokens {
		return "", Token{}, status.New(status.ResourceExhausted, "auth.tokens", "there are %d tokens, at most %d are kept", len(all), maxTokens).
			WithHint("revoke those that nobody uses: provider token list")
	}
	secret, now := newSecret(), a.now().UTC()
	t := Token{
		ID: newID(), Name: name, Hash: hashOf(secret), Scopes: normal(scopes),
		Created: now, Expires: now.Add(ttl), CreatedBy: by.Subject,
	}
	if err := a.tokens.SaveToken(ctx, t); err != nil {
		return "", Token{}, fmt.Errorf("storing the token: %w", err)
	}
	a.log.Info("token issued", "token_id", t.ID, "token_name", t.Name, "scopes", fmt.Sprint(t.Scopes), "expires", t.Expires, "by", by.Subject)
	return secret, t, nil
}

// List is all tokens, oldest first, without their hashes; for the operator.
func (a *Authenticator) List(ctx context.Context, by Principal) ([]Token, error) {
	if err := a.manages(by); err != nil {
		return nil, err
	}
	all, err := a.tokens.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	all = slices.Clone(all)
	for i := range all {
		all[i].Hash = [32]byte{}
	}
	slices.SortFunc(all, func(x, y Token) int {
		if c := x.Created.Compare(y.Created); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return all, nil
}

// Revoke ends a token, for the operator: the next request with it is refused.
// One that is not there is not_found, auth.token_unknown.
func (a *Authenticator) Revoke(ctx context.Context, by Principal, id string) error {
	if err := a.manages(by); err != nil {
		return err
	}
	a.tokenMu.Lock()
	defer a.tokenMu.Unlock()
	all, err := a.tokens.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	if !slices.ContainsFunc(all, func(t Token) bool { return t.ID == id }) {
		// The id is not repeated: whoever mistakes the two types the secret here.
		return status.New(status.NotFound, "auth.token_unknown", "there is no token with this id").
			WithHint("provider token list shows the ids; a token's secret is not one")
	}
	if err := a.tokens.DeleteToken(ctx, id); err != nil {
		return fmt.Errorf("deleting the token: %w", err)
	}
	a.log.Info("token revoked", "token_id", id, "by", by.Subject)
	return nil
}

func (a *Authenticator) manages(by Principal) error {
	if err := by.MustOperate(); err != nil {
		return err
	}
	if a.tokens == nil {
		return status.New(status.Unimplemented, "auth.no_tokens", "this provider keeps no tokens")
	}
	return nil
}

// fromToken is the principal of a local token.
func (a *Authenticator) fromToken(ctx context.Context, secret string) (Principal, error) {
	if a.tokens == nil {
		return Principal{}, refuse("unknown", "this provider keeps no tokens of its own")
	}
	if !intact(secret) {
		return Principal{}, refuse("malformed", "the token is incomplete or mistyped: its checksum is wrong").
			WithHint("copy it again, whole: %d characters from %s on", len(tokenPrefix)+randomDigits+checkDigits, tokenPrefix)
	}
	hash := hashOf(secret)
	t, ok, err := a.tokens.TokenByHash(ctx, hash)
	if err != nil {
		return Principal{}, unknowable(err, time.Second, "the store of tokens does not answer")
	}
	if !ok || subtle.ConstantTimeCompare(t.Hash[:], hash[:]) != 1 {
		return Principal{}, refuse("unknown", "there is no such token; it may have been revoked").
			WithHint("ask the operator for a new one")
	}
	now := a.now()
	// No allowance for the clock: it is the one that the token was made by.
	if !now.Before(t.Expires) {
		return Principal{}, refuse("expired", "the token ended at %s", t.Expires.UTC().Format(time.RFC3339)).
			WithHint("ask the operator for a new one")
	}
	if !fresh(now, t.LastUsed, touchEvery) {
		if err := a.touch(ctx, hash, now); err != nil {
			// The caller is who he is, whatever the disk does.
			a.log.Warn("cannot note when a token was used", "token_id", t.ID, "err", err)
		}
	}
	return Principal{Subject: "token:" + t.ID, Via: ViaToken, Expires: t.Expires}.withScopes(t.Scopes), nil
}

// touch notes a use. It looks again under the lock, so that a token that was
// revoked meanwhile is not stored anew.
func (a *Authenticator) touch(ctx context.Context, hash [32]byte, now time.Time) error {
	a.tokenMu.Lock()
	defer a.tokenMu.Unlock()
	t, ok, err := a.tokens.TokenByHash(ctx, hash)
	if err != nil || !ok || fresh(now, t.LastUsed, touchEvery) {
		return err
	}
	t.LastUsed = now.UTC()
	return a.tokens.SaveToken(ctx, t)
}

func tokenFaults(name string, scopes []Scope, ttl time.Duration) []status.Fault {
	var faults []status.Fault
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, unprintable) || isLocal(name) {
		// A secret in place of a name is not repeated.
		faults = append(faults, status.Fault{
			Field: "name", Got: strconv.Itoa(len(name)) + " bytes",
			Want: "1 to " + strconv.Itoa(maxName) + " bytes of printable characters that are no token",
		})
	}
	if n := len(scopes); n == 0 || n > maxScopes {
		faults = append(faults, status.Fault{Field: "scopes", Got: strconv.Itoa(n), Want: "1 to " + strconv.Itoa(maxScopes) + " of " + wantScope})
	}
	for i, s := range scopes[:min(len(scopes), maxScopes)] {
		if !s.valid() {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("scopes[%d]", i), Got: quote(s.String()), Want: wantScope})
		}
	}
	if ttl <= 0 || ttl > MaxTTL {
		faults = append(faults, status.Fault{Field: "expires", Got: ttl.String(), Want: "more than 0, at most " + MaxTTL.String()})
	}
	return faults
}

// newID is 64 random bits, enough that a thousand tokens never share one.
func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}
