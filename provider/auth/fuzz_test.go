package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// FuzzAuthorization sends any header to a provider that takes all kinds of
// tokens. Only the seeds that are right get in, and nothing that came in is
// repeated to the caller.
func FuzzAuthorization(f *testing.F) {
	key := ec("k")
	set := keySet(f, key.jwk())
	c := &clock{now: start}
	a := newAuth(f, auth.Config{
		SupabaseURL: "https://ref.supabase.co", SupabaseServiceRoleKey: serviceKey, Issuer: iss, Audience: aud, HS256Secret: legacy,
		Tokens: &memory{}, Now: c.Now,
		Client: &http.Client{Transport: inProcess(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			if r.URL.Path != keysPath {
				w.WriteHeader(http.StatusForbidden)
			} else if _, err := w.Write(set); err != nil {
				return nil, err
			}
			return w.Result(), nil
		})},
	})
	local, _, err := a.Issue(f.Context(), operator, "ci", scopes(f, "read:a"), auth.MaxTTL)
	if err != nil {
		f.Fatal(err)
	}
	right := []string{
		key.sign(f, good()), local, serviceKey,
		signWith(f, jose.HS256, legacy, nil, good()),
	}
	for _, token := range right {
		f.Add("Bearer "+token, "")
		f.Add("bearer "+token, "Bearer "+token)
		f.Add("Bearer "+token[:len(token)-2], "")
	}
	for _, s := range []string{
		"", "Bearer", "Bearer ..", "Bearer a.b.c", "Basic dTpw", "Bearer " + b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".",
		"Bearer " + b64(`{"alg":"ES256","kid":"k","jwk":{"kty":"EC"},"crit":["b64"],"b64":false}`) + "..AA", "Bearer apo_0", "Bearer sb_secret_",
	} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		headers := []string{one}
		if two != "" {
			headers = append(headers, two)
		}
		p, err := a.Authenticate(t.Context(), request(headers...))
		if err == nil {
			_, token, _ := strings.Cut(one, " ")
			token = strings.Trim(token, " ")
			for _, r := range right {
				// The last digit of base64 has bits that mean nothing.
				if len(headers) == 1 && len(token) == len(r) && token[:len(r)-1] == r[:len(r)-1] {
					return
				}
			}
			t.Fatalf("%q is %+v", headers, p)
		}
		if p.Operator || p.Scopes != nil || p.Subject != "" {
			t.Errorf("an error came with %+v", p)
		}
		switch status.CodeOf(err) {
		case status.Unauthenticated, status.Unavailable:
		default:
			t.Errorf("%q: %v", headers, err)
		}
		if len(one) > 24 && strings.Contains(allText(err), one[7:]) {
			t.Errorf("repeats what was sent: %s", allText(err))
		}
	})
}
