package auth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"apocryph/provider/auth"
)

const userID = "7b0f8a52-6f0e-4a3e-9f0a-0d7c3a1e2b4c"

// legacy is the shared secret of the project, which only the project knows.
var legacy = []byte(strings.Repeat("L", 32))

// user is the claims of a user's token, as the project makes it.
func (i *issuer) userClaims() map[string]any {
	return map[string]any{
		"iss": i.URL + "/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": userID,
		"exp": start.Add(time.Hour).Unix(), "iat": start.Unix(), "is_anonymous": false, "email": "a@example.org",
	}
}

// knows is the endpoint /auth/v1/user for one token.
func knows(token, id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("apikey") != serviceKey || r.Header.Get("Authorization") != "Bearer "+token || r.Method != "GET" {
			http.Error(w, `{"code":403,"error_code":"bad_jwt"}`, http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"id": id, "aud": "authenticated"})
	}
}

// cutShort promises more than it sends; so the client does not ask again, as it
// does where a connection that it used before is closed.
func cutShort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`{"id":"`))
}

func ownNamespace(sub string) string {
	sum := sha256.Sum256([]byte(sub))
	return "u-" + hex.EncodeToString(sum[:])[:12]
}

func TestSupabaseTokens(t *testing.T) {
	key, stranger := ec("k"), ec("k")
	i := newIssuer(t, key.jwk())
	a := newAuth(t, i.supabase(&clock{now: start}))
	own := "deploy:" + ownNamespace(userID)
	for name, tt := range map[string]struct {
		key      signer
		change   map[string]any
		reason   string
		scopes   string
		operator bool
	}{
		"user":                 {key, nil, "", own, false},
		"user with scopes":     {key, map[string]any{"apocryph_scopes": []string{"read:x"}}, "", "read:x", false},
		"user with none":       {key, map[string]any{"apocryph_scopes": []string{}}, "", "", false},
		"user with words":      {key, map[string]any{"scope": "openid email"}, "", "", false},
		"another program's":    {key, map[string]any{"client_id": "x"}, "", "", false},
		"anonymous":            {key, map[string]any{"is_anonymous": true}, "", "", false},
		"anonymous, odd":       {key, map[string]any{"is_anonymous": "yes"}, "", "", false},
		"no role":              {key, map[string]any{"role": nil}, "", "", false},
		"role in a list":       {key, map[string]any{"role": []string{"service_role"}}, "", "", false},
		"service":              {key, map[string]any{"role": "service_role", "aud": nil, "sub": nil}, "", "", true},
		"service, forged":      {stranger, map[string]any{"role": "service_role", "aud": nil, "sub": nil}, "auth.signature", "", false},
		"service, expired":     {key, map[string]any{"role": "service_role", "exp": start.Unix() - 60}, "auth.expired", "", false},
		"service, no expiry":   {key, map[string]any{"role": "service_role", "exp": nil}, "auth.claims", "", false},
		"service of another":   {key, map[string]any{"role": "service_role", "iss": "https://x.supabase.co/auth/v1"}, "auth.issuer", "", false},
		"service, other aud":   {key, map[string]any{"role": "service_role", "aud": "x"}, "auth.audience", "", false},
		"anon key":             {key, map[string]any{"role": "anon", "aud": nil, "sub": nil}, "auth.audience", "", false},
		"forged":               {stranger, nil, "auth.signature", "", false},
		"another project's":    {key, map[string]any{"iss": "https://x.supabase.co/auth/v1"}, "auth.issuer", "", false},
		"no expiry":            {key, map[string]any{"exp": nil}, "auth.claims", "", false},
		"role in the metadata": {key, map[string]any{"user_metadata": map[string]any{"role": "service_role", "apocryph_scopes": []string{"operator"}}}, "", own, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := call(a, tt.key.sign(t, with(i.userClaims(), tt.change)))
			wantErr(t, err, tt.reason)
			if p.Operator != tt.operator || scopeTexts(p) != tt.scopes {
				t.Errorf("operator %t, scopes %q", p.Operator, scopeTexts(p))
			}
			if err == nil && p.Via != auth.ViaSupabase {
				t.Errorf("via %q", p.Via)
			}
		})
	}
	if n := i.userAsks.Load(); n != 0 {
		t.Errorf("the project was asked %d times about tokens of its key set", n)
	}
}

func TestProjectIsAsked(t *testing.T) {
	key, retired := ec("k"), ec("retired")
	i := newIssuer(t, key.jwk())
	hs := func(change map[string]any) string {
		return signWith(t, jose.HS256, legacy, map[jose.HeaderKey]any{"typ": "JWT"}, with(i.userClaims(), change))
	}
	unknown := retired.sign(t, i.userClaims())
	body := func(code int, text string) http.HandlerFunc { return answer(code, []byte(text)) }
	for name, tt := range map[string]struct {
		token  string
		user   http.HandlerFunc
		reason string
		asks   int64
	}{
		"HS256":                {hs(nil), knows(hs(nil), userID), "", 1},
		"a retired key":        {unknown, knows(unknown, userID), "", 1},
		"not the project's":    {hs(map[string]any{"x": 1}), knows(hs(nil), userID), "auth.rejected", 1},
		"401":                  {hs(nil), body(401, "{}"), "auth.rejected", 1},
		"another user":         {hs(nil), knows(hs(nil), "someone"), "auth.rejected", 1},
		"500":                  {hs(nil), body(500, `{"id":"`+userID+`"}`), "auth.unavailable", 1},
		"404":                  {hs(nil), body(404, ""), "auth.unavailable", 1},
		"429":                  {hs(nil), body(429, ""), "auth.unavailable", 1},
		"201":                  {hs(nil), body(201, `{"id":"`+userID+`"}`), "auth.unavailable", 1},
		"redirect":             {hs(nil), http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP, "auth.unavailable", 1},
		"no JSON":              {hs(nil), body(200, "OK"), "auth.unavailable", 1},
		"no id":                {hs(nil), body(200, "{}"), "auth.unavailable", 1},
		"huge":                 {hs(nil), answer(200, append([]byte(`{"id":"`+userID+`"}`), bytes.Repeat([]byte(" "), 64<<10)...)), "auth.unavailable", 1},
		"hangs up":             {hs(nil), cutShort, "auth.unavailable", 1},
		"service role":         {hs(map[string]any{"role": "service_role"}), body(200, `{"id":"`+userID+`"}`), "auth.key", 0},
		"expired":              {hs(map[string]any{"exp": start.Unix() - 60}), body(200, `{"id":"`+userID+`"}`), "auth.expired", 0},
		"no expiry":            {hs(map[string]any{"exp": nil}), body(200, `{"id":"`+userID+`"}`), "auth.claims", 0},
		"another issuer":       {hs(map[string]any{"iss": "supabase"}), body(200, `{"id":"`+userID+`"}`), "auth.issuer", 0},
		"another audience":     {hs(map[string]any{"aud": "x"}), body(200, `{"id":"`+userID+`"}`), "auth.audience", 0},
		"no subject":           {hs(map[string]any{"sub": nil}), body(200, `{"id":""}`), "auth.claims", 0},
		"forged, of the set":   {ec("k").sign(t, i.userClaims()), body(200, `{"id":"`+userID+`"}`), "auth.signature", 0},
		"alg none":             {b64(`{"alg":"none"}`) + "." + b64("{}") + ".", body(200, `{"id":"`+userID+`"}`), "auth.algorithm", 0},
		"opaque":               {"abcdefghijklmnopqrstuvwxyz", body(200, `{"id":"`+userID+`"}`), "auth.malformed", 0},
		"another secret key":   {"sb_secret_notTheOneThatIsConfigured_", body(200, `{"id":"`+userID+`"}`), "auth.unknown", 0},
		"publishable key":      {"sb_publishable_notTheOneThatIsConf_", body(200, `{"id":"`+userID+`"}`), "auth.unknown", 0},
		"key with one changed": {serviceKey[:len(serviceKey)-1] + "x", body(200, `{"id":"`+userID+`"}`), "auth.unknown", 0},
	} {
		t.Run(name, func(t *testing.T) {
			i.setUser(tt.user)
			i.userAsks.Store(0)
			p, err := call(newAuth(t, i.supabase(&clock{now: start})), tt.token)
			wantErr(t, err, tt.reason)
			if n := i.userAsks.Load(); n != tt.asks {
				t.Errorf("the project was asked %d times, want %d", n, tt.asks)
			}
			if err == nil && (p.Operator || scopeTexts(p) != "deploy:"+ownNamespace(userID)) {
				t.Errorf("got %+v", p)
			}
		})
	}
	// Where the set is unknown, whether it covers a token is not: nobody gets in.
	i.setKeys(answer(500, nil))
	i.setUser(knows(unknown, userID))
	_, err := call(newAuth(t, i.supabase(&clock{now: start})), unknown)
	wantErr(t, err, "auth.unavailable")
}

func TestLegacySecretHere(t *testing.T) {
	i := newIssuer(t)
	cfg := i.supabase(&clock{now: start})
	cfg.HS256Secret = legacy
	a := newAuth(t, cfg)
	p, err := call(a, signWith(t, jose.HS256, legacy, nil, with(i.userClaims(), map[string]any{"role": "service_role", "sub": nil, "aud": nil})))
	if wantErr(t, err, ""); !p.Operator {
		t.Errorf("got %+v", p)
	}
	_, err = call(a, signWith(t, jose.HS256, bytes.Repeat([]byte("x"), 32), nil, i.userClaims()))
	wantErr(t, err, "auth.signature")
	if n := i.userAsks.Load() + i.keyFetches.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestConfirmationEnds: a yes counts a minute, and never longer than the token.
func TestConfirmationEnds(t *testing.T) {
	i := newIssuer(t)
	c := &clock{now: start}
	a := newAuth(t, i.supabase(c))
	claims := with(i.userClaims(), map[string]any{"exp": start.Add(90 * time.Second).Unix()})
	token := signWith(t, jose.HS256, legacy, nil, claims)
	i.setUser(knows(token, userID))
	ask := func(after time.Duration, reason string, asks int64) {
		t.Helper()
		c.add(start.Add(after).Sub(c.Now()))
		_, err := call(a, token)
		wantErr(t, err, reason)
		if n := i.userAsks.Load(); n != asks {
			t.Errorf("after %s: %d questions, want %d", after, n, asks)
		}
	}
	ask(0, "", 1)
	ask(59*time.Second, "", 1)
	ask(60*time.Second, "", 2)
	i.setUser(answer(403, nil))
	ask(89*time.Second, "", 2)
	// The skew does not lengthen the yes: at exp the project is asked again.
	ask(90*time.Second, "auth.rejected", 3)
	// A no is not remembered.
	i.setUser(knows(token, userID))
	ask(91*time.Second, "", 4)
	ask(2*time.Minute, "auth.expired", 4)
}

func TestServiceKey(t *testing.T) {
	i := newIssuer(t)
	c := &clock{now: start}
	cfg := i.supabase(c)
	a := newAuth(t, cfg)
	p, err := call(a, serviceKey)
	if wantErr(t, err, ""); !p.Operator || p.Subject != "supabase:service_role" || p.Via != auth.ViaSupabase || !p.Expires.IsZero() {
		t.Errorf("got %+v", p)
	}
	// The older kind is a JWT, whose end counts too.
	cfg.SupabaseServiceRoleKey = signWith(t, jose.HS256, legacy, nil, map[string]any{
		"iss": "supabase", "ref": "x", "role": "service_role", "exp": start.Add(time.Hour).Unix(),
	})
	a = newAuth(t, cfg)
	p, err = call(a, cfg.SupabaseServiceRoleKey)
	if wantErr(t, err, ""); !p.Operator || !p.Expires.Equal(start.Add(time.Hour)) {
		t.Errorf("got %+v", p)
	}
	_, err = call(a, serviceKey)
	wantErr(t, err, "auth.unknown")
	c.add(time.Hour)
	_, err = call(a, cfg.SupabaseServiceRoleKey)
	wantErr(t, err, "auth.expired")
	if n := i.userAsks.Load() + i.keyFetches.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}
