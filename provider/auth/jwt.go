package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// fromJWT is the principal of a JSON Web Token.
func (a *Authenticator) fromJWT(ctx context.Context, token string) (Principal, error) {
	parsed, err := a.parseJWT(token)
	if err != nil {
		return Principal{}, err
	}
	header := parsed.Headers[0]
	alg := jose.SignatureAlgorithm(header.Algorithm)
	key, err := a.keyFor(ctx, header.KeyID, alg)
	if errors.Is(err, errKeyUnknown) {
		if a.users != nil {
			return a.fromProject(ctx, token, parsed)
		}
		return Principal{}, refuse("key", "the token is signed with a key that its issuer does not name").
			WithHint("log in again; a new key of the issuer is known after %s at the latest", refetchAfter)
	}
	if err != nil {
		return Principal{}, err
	}
	// Verified before it is read: a claim of a forged token decides nothing.
	var c claims
	switch err := parsed.Claims(key, &c); {
	case errors.Is(err, jose.ErrCryptoFailure):
		return Principal{}, refuse("signature", "the token's signature is wrong")
	case err != nil:
		return Principal{}, refuse("claims", "the token's claims cannot be read")
	}
	if err := a.demands.check(c, a.now()); err != nil {
		return Principal{}, err
	}
	return a.demands.principal(c)
}

// keyFor is the key for a header. HS256 and the key set never meet.
func (a *Authenticator) keyFor(ctx context.Context, id string, alg jose.SignatureAlgorithm) (any, error) {
	if alg == jose.HS256 {
		if a.hs256 == nil {
			return nil, errKeyUnknown
		}
		return a.hs256, nil
	}
	if a.keys == nil {
		return nil, errKeyUnknown
	}
	k, err := a.keys.find(ctx, id, alg)
	return k.key, err
}

// parseJWT reads a token's form. The errors of go-jose quote what was sent, and
// are left out.
func (a *Authenticator) parseJWT(token string) (*jwt.JSONWebToken, error) {
	parsed, err := jwt.ParseSigned(token, a.algorithms)
	var unexpected *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &unexpected):
		return nil, refuse("algorithm", "the token is not signed in an accepted way: one of %v is wanted", a.algorithms)
	case err != nil || len(parsed.Headers) != 1:
		return nil, refuse("malformed", "the token is neither one of this provider nor a JSON Web Token").
			WithHint("opaque keys, such as those of Supabase, count only where they are the configured one")
	}
	// Other kinds of JWT are not for this (RFC 8725, 3.11).
	typ, _ := parsed.Headers[0].ExtraHeaders[jose.HeaderType].(string)
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return parsed, nil
	}
	return nil, refuse("malformed", "the token is of another type (typ), JWT or at+jwt is wanted")
}
