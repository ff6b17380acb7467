package auth

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"apocryph/proto/status"
)

// The environment variables of a Supabase project, for texts.
const (
	EnvSupabaseURL = "SUPABASE_URL"
	EnvSupabaseKey = "SUPABASE_SERVICE_ROLE_KEY"
)

const (
	// minHS256 is the least secret of HS256 (RFC 7518, 3.2), in bytes: a shorter
	// one is found offline from a single token.
	minHS256 = 32
	// minServiceKey leaves out keys that can be guessed over the network, in bytes.
	minServiceKey = 32
)

// Config says in which ways callers over TCP are authenticated. The zero one
// has none. Its secrets are shown in no error and no log.
type Config struct {
	// JWKSURL is where the issuer's keys are: https, or http on a loopback
	// address. It needs Issuer and Audience, the exact iss and one of the aud
	// of tokens.
	JWKSURL, Issuer, Audience string
	// HS256Secret allows HS256; at least 32 bytes. It needs Issuer and Audience
	// too, unless a Supabase project is configured.
	HS256Secret []byte
	// SupabaseURL is a project, "https://REF.supabase.co", in place of JWKSURL;
	// Issuer is URL/auth/v1 and Audience "authenticated" where they are empty.
	// SupabaseServiceRoleKey is its secret key, and makes its bearer the
	// operator. They come together.
	SupabaseURL, SupabaseServiceRoleKey string
	// Tokens keeps local tokens; nil for none.
	Tokens TokenStore
	// Client asks issuers; nil for one of its own. Only its Transport is used.
	Client *http.Client
	// Now is the clock, nil for time.Now.
	Now func() time.Time
	// Logger is nil for none.
	Logger *slog.Logger
	// None makes everybody the operator who calls a loopback host from no web
	// page. The listener has to be bound to loopback addresses alone.
	None bool
}

// New checks a configuration and connects to nothing. All faults are told at
// once, as invalid_argument, auth.config.
func New(cfg Config) (*Authenticator, error) {
	if faults := cfg.faults(); len(faults) > 0 {
		return nil, status.Invalid("auth.config", "the configuration of authentication", faults)
	}
	a := &Authenticator{
		demands: demands{issuer: cfg.Issuer, audience: cfg.Audience},
		tokens:  cfg.Tokens, none: cfg.None, now: cfg.Now, log: cfg.Logger,
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	client, keysURL := strict(cfg.Client), cfg.JWKSURL
	if base := strings.TrimRight(cfg.SupabaseURL, "/"); base != "" {
		keysURL = base + "/auth/v1/.well-known/jwks.json"
		a.demands.supabase = true
		if a.demands.issuer == "" {
			a.demands.issuer = base + "/auth/v1"
		}
		if a.demands.audience == "" {
			a.demands.audience = roleUser
		}
		a.serviceKey = newServiceKey(cfg.SupabaseServiceRoleKey)
		a.users = &projectUsers{
			url: base + "/auth/v1/user", key: cfg.SupabaseServiceRoleKey, client: client, now: a.now,
			asking: make(chan struct{}, maxAsking), confirmed: map[[32]byte]confirmation{},
		}
	}
	if keysURL != "" {
		a.keys = &keySource{url: keysURL, client: client, now: a.now, log: a.log}
		a.algorithms = append(a.algorithms, asymmetric...)
	}
	if len(cfg.HS256Secret) > 0 {
		a.hs256 = bytes.Clone(cfg.HS256Secret)
	}
	if a.hs256 != nil || a.users != nil {
		a.algorithms = append(a.algorithms, jose.HS256)
	}
	return a, nil
}

// faults is everything wrong with a configuration. It shows no secret.
func (c Config) faults() []status.Fault {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	issuers := c.JWKSURL != "" || len(c.HS256Secret) > 0
	supabase := c.SupabaseURL != "" || c.SupabaseServiceRoleKey != ""
	if c.None && (issuers || supabase) {
		fault("api-auth", "none beside other ways to authenticate", "one of the two")
	}
	if c.JWKSURL != "" {
		if why := badURL(c.JWKSURL, true); why != "" {
			fault("api-jwks", why, wantURL)
		}
		if supabase {
			fault("api-jwks", "a key set beside a Supabase project", "one source of keys")
		}
	}
	if issuers && !supabase {
		if c.Issuer == "" {
			fault("api-issuer", "nothing", "the issuer (iss) of the tokens to accept")
		}
		if c.Audience == "" {
			fault("api-audience", "nothing", "the audience (aud) that tokens for this provider have")
		}
	}
	if !issuers && !supabase && (c.Issuer != "" || c.Audience != "") {
		fault("api-jwks", "nothing", "the keys of the issuer that is named")
	}
	if n := len(c.HS256Secret); n > 0 && n < minHS256 {
		fault("api-hs256-secret-file", strconv.Itoa(n)+" bytes", "at least "+strconv.Itoa(minHS256))
	}
	if c.SupabaseURL == "" && c.SupabaseServiceRoleKey != "" {
		fault(EnvSupabaseURL, "nothing", "the project's URL, since "+EnvSupabaseKey+" is set")
	}
	if c.SupabaseURL != "" {
		if why := badURL(c.SupabaseURL, false); why != "" {
			fault(EnvSupabaseURL, why, wantURL)
		}
		if why := badServiceKey(c.SupabaseServiceRoleKey); why != "" {
			fault(EnvSupabaseKey, why, "the project's secret key (sb_secret_…, or the older service_role key)")
		}
	}
	return faults
}

const wantURL = "an https URL without user and fragment; http for loopback addresses alone"

// badURL is what is wrong with an issuer's URL, "" for nothing. The URL is not
// repeated: it may have a password.
func badURL(text string, query bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "no URL with a host"
	case u.User != nil:
		return "a URL with a user"
	case u.Fragment != "" || !query && (u.RawQuery != "" || u.ForceQuery):
		return "a URL with a query or fragment"
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	}
	return "a URL of another scheme or in plain text over the network"
}

// badServiceKey is what is wrong with a project's secret key, "" for nothing.
// The project's public keys look alike, and would make an operator of everyone.
func badServiceKey(key string) string {
	switch {
	case key == "":
		return "nothing"
	case len(key) < minServiceKey || len(key) > maxToken || !isToken68(key):
		return strconv.Itoa(len(key)) + " bytes that are no key"
	case strings.HasPrefix(key, "sb_publishable_"):
		return "a publishable key, which everybody may know"
	case isLocal(key):
		return "a token of this provider"
	}
	if parsed, err := jwt.ParseSigned(key, append([]jose.SignatureAlgorithm{jose.HS256}, asymmetric...)); err == nil {
		var c claims
		if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil || c.Role != roleService {
			return "a key of another role, which everybody may know"
		}
	}
	return ""
}
