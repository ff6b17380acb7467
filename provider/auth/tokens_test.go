package auth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

var operator = auth.Principal{Subject: "uid:0", Operator: true}

func scopes(t testing.TB, texts ...string) []auth.Scope {
	t.Helper()
	var out []auth.Scope
	for _, text := range texts {
		s, err := auth.ParseScope(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestTokenLife(t *testing.T) {
	m, c := &memory{}, &clock{now: start}
	a := newAuth(t, auth.Config{Tokens: m, Now: c.Now})
	secret, made, err := a.Issue(t.Context(), operator, "ci", scopes(t, "read:b", "deploy:a", "read:b"), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(secret) != 53 || !strings.HasPrefix(secret, "apo_") || len(made.ID) != 13 || strings.Contains(secret, made.ID) {
		t.Errorf("made a token of %d bytes, id %q", len(secret), made.ID)
	}
	if len(m.tokens) != 1 || strings.Contains(allText(errors.New(made.Name+made.ID+made.CreatedBy)), secret[4:]) {
		t.Errorf("stored %+v", m.tokens)
	}
	p, err := call(a, secret)
	if wantErr(t, err, ""); p.Operator || scopeTexts(p) != "deploy:a read:b" || p.Subject != "token:"+made.ID || p.Via != auth.ViaToken || !p.Expires.Equal(start.Add(24*time.Hour)) {
		t.Errorf("got %+v", p)
	}
	// Uses are noted, but not one by one.
	saves := m.saves
	for range 10 {
		c.add(59 * time.Second)
		if _, err := call(a, secret); err != nil {
			t.Fatal(err)
		}
	}
	if m.saves != saves || !m.tokens[0].LastUsed.Equal(start) {
		t.Errorf("%d more writes, last used %s", m.saves-saves, m.tokens[0].LastUsed)
	}
	c.add(time.Minute)
	if _, err := call(a, secret); err != nil || m.saves != saves+1 {
		t.Errorf("%v, %d more writes", err, m.saves-saves)
	}
	list, err := a.List(t.Context(), operator)
	if err != nil || len(list) != 1 || list[0].Hash != [32]byte{} || list[0].Name != "ci" || m.tokens[0].Hash == [32]byte{} {
		t.Errorf("%v: %+v", err, list)
	}
	for text, reason := range map[string]string{
		secret[:len(secret)-1]:                 "auth.malformed",
		secret + "0":                           "auth.malformed",
		swapped(secret, 10):                    "auth.malformed",
		swapped(secret, 50):                    "auth.malformed",
		strings.ToLower(secret):                "auth.malformed",
		"apo_":                                 "auth.malformed",
		"apo_" + strings.Repeat("0", 49):       "auth.malformed",
		strings.Replace(secret, "o_", "O_", 1): "auth.malformed",
		another(t):                             "auth.unknown",
	} {
		_, err := call(a, text)
		wantErr(t, err, reason)
	}
	c.add(start.Add(24*time.Hour - 1).Sub(c.Now()))
	_, err = call(a, secret)
	wantErr(t, err, "")
	c.add(1)
	_, err = call(a, secret)
	wantErr(t, err, "auth.expired")
}

// swapped is a token with one character changed.
func swapped(s string, at int) string {
	b := []byte(s)
	if b[at]++; b[at] > 'z' || b[at] == ':' || b[at] == '[' {
		b[at] = 'a'
	}
	return string(b)
}

// another is a token of another provider.
func another(t testing.TB) string {
	t.Helper()
	secret, _, err := newAuth(t, auth.Config{Tokens: &memory{}}).Issue(t.Context(), operator, "x", scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestRevoke(t *testing.T) {
	m := &memory{}
	a := newAuth(t, auth.Config{Tokens: m})
	secret, made, err := a.Issue(t.Context(), operator, "ci", scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Revoke(t.Context(), operator, secret); status.CodeOf(err) != status.NotFound || strings.Contains(allText(err), secret) {
		t.Errorf("got %s", allText(err))
	}
	// A revocation between looking a token up and noting its use.
	finds := 0
	m.onFind = func() {
		if finds++; finds == 2 {
			m.tokens = nil
		}
	}
	if _, err := call(a, secret); err != nil {
		t.Fatal(err)
	}
	if finds != 2 || len(m.tokens) != 0 {
		t.Errorf("after %d look-ups a revoked token is back: %v", finds, m.tokens)
	}
	m.onFind = nil
	secret, made, err = a.Issue(t.Context(), operator, "ci", scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := call(a, secret); err != nil || !p.Operator {
		t.Errorf("%+v %v", p, err)
	}
	if err := a.Revoke(t.Context(), operator, made.ID); err != nil {
		t.Error(err)
	}
	_, err = call(a, secret)
	wantErr(t, err, "auth.unknown")
}

func TestIssueRefuses(t *testing.T) {
	a := newAuth(t, auth.Config{Tokens: &memory{}})
	team := auth.Principal{Subject: "sub:x", Scopes: scopes(t, "deploy:*")}
	for name, tt := range map[string]struct {
		name   string
		scopes []auth.Scope
		ttl    time.Duration
		faults []string
	}{
		"good":         {"ci", scopes(t, "deploy:*"), auth.MaxTTL, nil},
		"nothing":      {"", nil, 0, []string{"name", "scopes", "expires"}},
		"for ever":     {"ci", scopes(t, "deploy:a"), auth.MaxTTL + 1, []string{"expires"}},
		"in the past":  {"ci", scopes(t, "deploy:a"), -time.Hour, []string{"expires"}},
		"long name":    {strings.Repeat("x", 65), scopes(t, "deploy:a"), time.Hour, []string{"name"}},
		"two lines":    {"a\nb", scopes(t, "deploy:a"), time.Hour, []string{"name"}},
		"bad scope":    {"ci", []auth.Scope{{"a", "destroy"}, {"", auth.ActionRead}, {"a", auth.ActionOperate}, {"A", auth.ActionRead}}, time.Hour, []string{"scopes[0]", "scopes[1]", "scopes[2]", "scopes[3]"}},
		"many scopes":  {"ci", slices.Repeat(scopes(t, "read:a"), 65), time.Hour, []string{"scopes"}},
		"secret as id": {"apo_CANARY", scopes(t, "deploy:a"), time.Hour, []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			secret, _, err := a.Issue(t.Context(), operator, tt.name, tt.scopes, tt.ttl)
			if got := faultsOf(err); !slices.Equal(got, tt.faults) || (secret == "") != (err != nil) {
				t.Errorf("faults %v, want %v (%v)", got, tt.faults, err)
			}
			if strings.Contains(allText(err), "CANARY") {
				t.Errorf("shows %v", err)
			}
			_, _, err = a.Issue(t.Context(), team, tt.name, tt.scopes, tt.ttl)
			wantErr(t, err, "auth.scope")
		})
	}
	_, err := a.List(t.Context(), team)
	wantErr(t, err, "auth.scope")
	wantErr(t, a.Revoke(t.Context(), team, "x"), "auth.scope")
	full := newAuth(t, auth.Config{Tokens: &memory{tokens: make([]auth.Token, 1000)}})
	if _, _, err := full.Issue(t.Context(), operator, "ci", scopes(t, "read:a"), time.Hour); status.ReasonOf(err) != "auth.tokens" {
		t.Errorf("got %v", err)
	}
	if _, _, err := newAuth(t, auth.Config{}).Issue(t.Context(), operator, "ci", scopes(t, "read:a"), time.Hour); status.ReasonOf(err) != "auth.no_tokens" {
		t.Errorf("got %v", err)
	}
}

func TestStoreFails(t *testing.T) {
	m := &memory{}
	a := newAuth(t, auth.Config{Tokens: m})
	secret, made, err := a.Issue(t.Context(), operator, "ci", scopes(t, "read:a"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m.err = errors.New("disk")
	_, err = call(a, secret)
	wantErr(t, err, "auth.unavailable")
	if _, _, err := a.Issue(t.Context(), operator, "ci", scopes(t, "read:a"), time.Hour); !errors.Is(err, m.err) {
		t.Errorf("got %v", err)
	}
	if err := a.Revoke(t.Context(), operator, made.ID); !errors.Is(err, m.err) {
		t.Errorf("got %v", err)
	}
	if _, err := a.List(t.Context(), operator); !errors.Is(err, m.err) {
		t.Errorf("got %v", err)
	}
	// A use that cannot be noted is a use all the same.
	m.err = nil
	finds := 0
	m.onFind = func() {
		if finds++; finds == 2 {
			m.err = errors.New("disk")
		}
	}
	if p, err := call(a, secret); err != nil || scopeTexts(p) != "read:a" {
		t.Errorf("%+v, %v", p, err)
	}
}
