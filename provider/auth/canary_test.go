package auth_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"apocryph/proto/problem"
	"apocryph/provider/auth"
)

// TestNoSecretIsTold calls in every wrong way with credentials that hold a
// marker, against issuers that repeat what they are sent, and looks for the
// marker in everything that comes out.
func TestNoSecretIsTold(t *testing.T) {
	const canary = "CANARYk3y"
	var logs bytes.Buffer
	key := ec("k")
	i := newIssuer(t, key.jwk())
	log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := &clock{now: start}
	secret := []byte(strings.Repeat(canary, 5))
	store := &memory{}
	issuers := i.plain(c)
	issuers.JWKSURL += "?apikey=" + canary
	project := i.supabase(c)
	for _, cfg := range []*auth.Config{&issuers, &project} {
		cfg.HS256Secret, cfg.Tokens, cfg.Logger = secret, store, log
	}
	remote := i.supabase(c)
	remote.Logger, remote.Tokens = log, store
	echo := func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Header.Get("Authorization")+r.Header.Get("apikey"), http.StatusTeapot)
	}
	i.setUser(echo)
	mark := map[string]any{"jti": canary, "email": canary, "role": canary, "apocryph_scopes": []string{canary}}
	local, made, err := newAuth(t, issuers).Issue(t.Context(), operator, "ci", scopes(t, "read:a"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{
		canary, canary + "." + canary + "." + canary, "apo_" + canary, "sb_secret_" + canary, serviceKey + "x",
		key.sign(t, with(good(), mark)), key.sign(t, with(i.userClaims(), mark)),
		ec(canary).sign(t, with(good(), mark)), ec("k").sign(t, with(good(), mark)),
		signWith(t, jose.HS256, secret, map[jose.HeaderKey]any{"kid": canary}, with(good(), mark)),
		signWith(t, jose.HS256, legacy, map[jose.HeaderKey]any{"kid": canary}, i.userClaims()),
		signWith(t, jose.HS512, bytes.Repeat(secret, 2), map[jose.HeaderKey]any{"kid": canary, "typ": canary}, good()),
		signWith(t, jose.ES256, key.priv, map[jose.HeaderKey]any{"kid": "k", "typ": canary}, good()),
		b64(`{"alg":"`+canary+`","`+canary+`":1}`) + "." + b64(`{"`+canary+`"`) + "." + canary,
		b64(`{"alg":"ES256","kid":"k","crit":["`+canary+`"]}`) + "." + b64(`{"`+canary+`"`) + "." + canary,
		b64(`{"`+canary) + ".e30.AA", signText(t, key, canary), signText(t, key, `{"aud":{"`+canary+`":1}}`),
		strings.Repeat(canary, 1000), local, swapped(local, 20), swapped(local, 52),
	}
	look := func(text string) {
		t.Helper()
		if strings.Contains(text, canary) || strings.Contains(text, local[4:30]) {
			t.Errorf("a secret is told: %s", text)
		}
	}
	for _, keys := range []http.HandlerFunc{
		answer(200, keySet(t, key.jwk())), answer(500, []byte(canary)), answer(200, []byte(canary)),
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/"+canary, http.StatusFound) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		i.setKeys(keys)
		for _, cfg := range []auth.Config{issuers, project, remote} {
			a := newAuth(t, cfg)
			for _, token := range tokens {
				for _, header := range []string{"Bearer " + token, "Basic " + token, token, "Bearer  " + token + " x"} {
					r := request(header)
					p, err := a.Authenticate(t.Context(), r)
					look(allText(err) + p.Subject)
					w := httptest.NewRecorder()
					problem.Write(w, r, err)
					look(w.Body.String())
				}
			}
			look(allText(a.Revoke(t.Context(), operator, local)))
			_, _, err := a.Issue(t.Context(), operator, local, nil, 0)
			look(allText(err))
			look(allText(a.Revoke(t.Context(), auth.Principal{}, made.ID)))
		}
	}
	look(logs.String())
	for _, line := range []string{"token issued", "cannot fetch the keys", "keys of tokens fetched"} {
		if !strings.Contains(logs.String(), line) {
			t.Errorf("nothing is logged of %q", line)
		}
	}
}
