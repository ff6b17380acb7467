package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider/auth"
)

func TestParseScope(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, ok := range map[string]bool{
		"operator": true, "deploy:a": true, "read:team-a": true, "deploy:*": true, "read:*": true, "read:" + long: true, "read:0": true,
		"": false, "deploy": false, "deploy:": false, ":a": false, "operator:": false, "operator:*": false, "operator:a": false, "Operator": false,
		"deploy:A": false, "deploy:-a": false, "deploy:a-": false, "deploy:a.b": true, "read:a.b-c.d": true, "deploy:a..b": false, "deploy:.a": false, "deploy:a.": false, "deploy:a.-b": false, "deploy:a.*": false, "deploy:a b": false, "deploy: a": false, " deploy:a": false,
		"deploy:a:b": false, "deploy:**": false, "deploy:a*": false, "write:a": false, "read:" + long + "a": false, "deploy:ä": false, "read:a\n": false,
	} {
		s, err := auth.ParseScope(text)
		if (err == nil) != ok || ok && s.String() != text {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
		if !ok && (status.CodeOf(err) != status.InvalidArgument || s != auth.Scope{}) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	var list []auth.Scope
	if err := json.Unmarshal([]byte(`["deploy:a","operator"]`), &list); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(list); err != nil || string(b) != `["deploy:a","operator"]` {
		t.Errorf("%s, %v", b, err)
	}
	if err := json.Unmarshal([]byte(`["deploy"]`), &list); err == nil {
		t.Error("no scope is a scope in JSON")
	}
}

func TestMay(t *testing.T) {
	const read, deploy, operate = auth.ActionRead, auth.ActionDeploy, auth.ActionOperate
	for _, tt := range []struct {
		scopes, ns string
		action     auth.Action
		ok         bool
	}{
		{"read:a", "a", read, true},
		{"deploy:a", "a", read, true},
		{"deploy:a", "a", deploy, true},
		{"deploy:*", "a", deploy, true},
		{"deploy:*", "*", deploy, true},
		{"read:b deploy:a", "a", deploy, true},
		{"", "a", read, false},
		{"read:a", "a", deploy, false},
		{"read:a", "b", read, false},
		{"deploy:a", "aa", read, false},
		{"deploy:aa", "a", read, false},
		{"deploy:a", "a.b", read, false},
		{"deploy:a.b", "a", read, false},
		{"deploy:a.b", "a.b", deploy, true},
		{"deploy:a", "*", deploy, false},
		{"deploy:*", "", deploy, false},
		{"deploy:*", "a", operate, false},
		{"deploy:*", "*", operate, false},
		{"deploy:*", "a", "destroy", false},
		{"deploy:*", "a", "", false},
		{"deploy:a", "A", deploy, false},
		// The right is in Operator, which only this package and its callers set.
		{"operator", "a", read, false},
	} {
		p := auth.Principal{}
		if tt.scopes != "" {
			p.Scopes = scopes(t, strings.Fields(tt.scopes)...)
		}
		err := p.May(tt.ns, tt.action)
		if (err == nil) != tt.ok || !tt.ok && status.ReasonOf(err) != "auth.scope" {
			t.Errorf("%s: %s in %q: %v", tt.scopes, tt.action, tt.ns, err)
		}
		if err := operator.May(tt.ns, tt.action); err != nil {
			t.Errorf("the operator may not %s in %q: %v", tt.action, tt.ns, err)
		}
	}
	if err := (auth.Principal{}).MustOperate(); status.ReasonOf(err) != "auth.scope" {
		t.Errorf("got %v", err)
	}
	if err := operator.MustOperate(); err != nil {
		t.Error(err)
	}
	var e *status.Error
	err := (auth.Principal{Scopes: scopes(t, "read:a")}).May("b", deploy)
	if !errors.As(err, &e) || e.Faults[0] != (status.Fault{Field: "scope", Got: "read:a", Want: "deploy:b"}) || !strings.Contains(e.Hint, "--scope deploy:b") {
		t.Errorf("got %+v", e)
	}
	many := auth.Principal{Scopes: scopes(t, strings.Fields(strings.Repeat("read:a ", 20))...)}
	if err := many.May("b", deploy); !errors.As(err, &e) || !strings.HasSuffix(e.Faults[0].Got, "and 12 more") {
		t.Errorf("got %+v", e)
	}
}

// TestChallenge holds the header against the statuses that problem gives.
func TestChallenge(t *testing.T) {
	const bearer = `Bearer realm="apocryph"`
	a := newAuth(t, newIssuer(t).plain(&clock{now: start}))
	_, missing := a.Authenticate(t.Context(), request())
	_, wrong := call(a, "x")
	_, unconfigured := newAuth(t, auth.Config{}).Authenticate(t.Context(), request())
	for name, tt := range map[string]struct {
		err  error
		code int
		want string
	}{
		"missing":      {missing, 401, bearer},
		"unconfigured": {unconfigured, 401, bearer},
		"wrong":        {wrong, 401, bearer + `, error="invalid_token"`},
		"scope":        {auth.Principal{}.May("a", auth.ActionDeploy), 403, bearer + `, error="insufficient_scope", scope="deploy:a"`},
		"operator":     {auth.Principal{}.MustOperate(), 403, bearer + `, error="insufficient_scope", scope="operator"`},
		"injection":    {auth.Principal{}.May("a\"\r\nX: y", auth.ActionDeploy), 403, bearer + `, error="insufficient_scope"`},
		"unavailable":  {status.New(status.Unavailable, "auth.unavailable", "x"), 503, ""},
		"origin":       {status.New(status.PermissionDenied, "auth.origin", "x"), 403, ""},
		"plain":        {io.EOF, 500, ""},
		"nil":          {nil, 500, ""},
	} {
		if got := auth.Challenge(tt.err); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if got := problem.HTTPStatus(tt.err); got != tt.code {
			t.Errorf("%s: %d, want %d", name, got, tt.code)
		}
	}
	if text := allText(auth.Principal{}.May("a\"\r\nX: y", auth.ActionDeploy)); strings.Contains(text, "\r\n") {
		t.Errorf("a line break is repeated: %q", text)
	}
}

func TestNone(t *testing.T) {
	a := newAuth(t, auth.Config{None: true})
	for name, tt := range map[string]struct {
		host   string
		header map[string]string
		reason string
	}{
		"curl":            {"127.0.0.1:47080", nil, ""},
		"name":            {"localhost:47080", nil, ""},
		"IPv6":            {"[::1]:47080", nil, ""},
		"IPv6, no port":   {"[::1]", nil, ""},
		"mapped":          {"[::ffff:127.0.0.1]:80", nil, ""},
		"a token as well": {"127.9.9.9", map[string]string{"Authorization": "Bearer x"}, ""},
		"own page":        {"localhost:80", map[string]string{"Origin": "http://localhost:80", "Sec-Fetch-Site": "same-origin"}, ""},
		"typed in":        {"localhost:80", map[string]string{"Sec-Fetch-Site": "none"}, ""},
		"no host":         {"", nil, "auth.origin"},
		"rebound name":    {"evil.example:47080", nil, "auth.origin"},
		"name alike":      {"localhost.evil.example", nil, "auth.origin"},
		"address":         {"192.0.2.1:47080", nil, "auth.origin"},
		"any address":     {"0.0.0.0:47080", nil, "auth.origin"},
		"another page":    {"localhost:80", map[string]string{"Origin": "https://evil.example"}, "auth.origin"},
		"another port":    {"localhost:80", map[string]string{"Origin": "http://localhost:81"}, "auth.origin"},
		"opaque origin":   {"localhost:80", map[string]string{"Origin": "null"}, "auth.origin"},
		"form of a page":  {"localhost:80", map[string]string{"Sec-Fetch-Site": "cross-site"}, "auth.origin"},
		"same site":       {"localhost:80", map[string]string{"Sec-Fetch-Site": "same-site"}, "auth.origin"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			r.Host = tt.host
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			p, err := a.Authenticate(context.Background(), r)
			if wantErr(t, err, tt.reason); p.Operator != (tt.reason == "") || err == nil && p.Via != auth.ViaNone {
				t.Errorf("got %+v", p)
			}
		})
	}
}
