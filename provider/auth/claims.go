package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// skew is how far an issuer's clock may be from ours.
	skew = 30 * time.Second
	// maxSubject bounds the subject that goes to logs and records, in bytes.
	maxSubject = 256
	// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
	lastSecond = 253402300799
	// Roles of Supabase (PostgREST's names).
	roleService = "service_role"
	roleUser    = "authenticated"
)

// claims is what of a token counts (RFC 7519, 4.1). Those that other issuers use
// in other shapes are read loosely: what is not a string is not there.
type claims struct {
	jwt.Claims
	OwnScopes *[]string `json:"apocryph_scopes"`
	Scope     any       `json:"scope"`
	Role      any       `json:"role"`
	Anonymous any       `json:"is_anonymous"`
	ClientID  any       `json:"client_id"`
}

// demands is what a token has to say.
type demands struct {
	issuer, audience string
	// supabase gives Supabase's roles their meaning.
	supabase bool
}

// check holds a token's claims against the demands.
func (d demands) check(c claims, now time.Time) error {
	role, _ := c.Role.(string)
	service := d.supabase && role == roleService
	switch {
	case c.Expiry == nil:
		return refuse("claims", "the token has no expiry (exp), and would be good for ever")
	case *c.Expiry > lastSecond:
		return refuse("claims", "the token's expiry (exp) is no date")
	case !now.Before(c.Expiry.Time().Add(skew)):
		return refuse("expired", "the token ended at %s", c.Expiry.Time().UTC().Format(time.RFC3339)).
			WithHint("log in again")
	case c.NotBefore != nil && now.Add(skew).Before(c.NotBefore.Time()):
		return refuse("not_yet", "the token does not hold yet (nbf)").
			WithHint("wait, or set the clocks of both machines")
	case c.Issuer != d.issuer:
		return refuse("issuer", "the token is of another issuer (iss), %s is wanted", quote(d.issuer))
	// Supabase's tokens for services are for no audience.
	case !c.Audience.Contains(d.audience) && (!service || len(c.Audience) > 0):
		return refuse("audience", "the token is for another audience (aud), %s is wanted", quote(d.audience))
	case c.Subject == "" && !service:
		return refuse("claims", "the token has no subject (sub)")
	case len(c.Subject) > maxSubject || strings.ContainsFunc(c.Subject, func(r rune) bool { return !unicode.IsPrint(r) }):
		return refuse("claims", "the token's subject (sub) is longer than %d bytes or not printable", maxSubject)
	}
	return nil
}

// principal is who a token that was checked stands for.
func (d demands) principal(c claims) (Principal, error) {
	p := Principal{Subject: "sub:" + c.Subject, Via: ViaJWT, Expires: c.Expiry.Time().UTC()}
	if d.supabase {
		p.Via = ViaSupabase
		if c.Role == roleService {
			p.Subject, p.Operator = "supabase:"+roleService, true
			return p, nil
		}
	}
	scopes, err := c.scopes()
	if err != nil {
		return Principal{}, err
	}
	if d.supabase && c.isUser() {
		scopes = []Scope{{Namespace: userNamespace(c.Subject), Action: ActionDeploy}}
	}
	return p.withScopes(scopes), nil
}

// scopes reads the claim "apocryph_scopes", where everything has to be a scope
// of ours, or else "scope" (RFC 8693, 4.2), where other words are other
// programs' affair.
func (c claims) scopes() ([]Scope, error) {
	if c.OwnScopes != nil {
		if len(*c.OwnScopes) > maxScopes {
			return nil, refuse("claims", "the token has %d scopes, at most %d are read", len(*c.OwnScopes), maxScopes)
		}
		scopes := make([]Scope, 0, len(*c.OwnScopes))
		for _, text := range *c.OwnScopes {
			s, err := ParseScope(text)
			if err != nil {
				return nil, refuse("claims", "the token's claim apocryph_scopes has something that is no scope").
					WithHint("a scope is %s", wantScope)
			}
			scopes = append(scopes, s)
		}
		return scopes, nil
	}
	var scopes []Scope
	words, _ := c.Scope.(string)
	for _, word := range strings.Fields(words) {
		if s, err := ParseScope(word); err == nil && len(scopes) < maxScopes {
			scopes = append(scopes, s)
		}
	}
	return scopes, nil
}

// isUser reports whether a Supabase token is a person's own and says nothing of
// scopes. Anonymous sign-ins also have the role "authenticated", and tokens
// that the project gave to another program have a client_id.
func (c claims) isUser() bool {
	return c.Role == roleUser && c.OwnScopes == nil && c.Scope == nil && c.ClientID == nil &&
		slices.Contains([]any{nil, false}, c.Anonymous)
}

// userNamespace is a user's own namespace: "u-" and 12 hex digits of the
// SHA-256 of the subject.
func userNamespace(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return "u-" + hex.EncodeToString(sum[:6])
}
