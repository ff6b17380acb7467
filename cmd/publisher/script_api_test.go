package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"
)

// directAPI gives scripts the address of an HTTP API, API, whose one token is
// apo_good, and of a server that sends it elsewhere, SENDS. Apps called broken do
// not come up.
func directAPI(env *testscript.Env) error {
	var deleted atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem := func(code int, class, reason, detail string) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"type":"urn:apocryph:problem:%s","status":%d,"detail":%q,"code":%q}`, reason, code, detail, class)
		}
		if r.Header.Get("Authorization") != "Bearer apo_good" {
			problem(http.StatusUnauthorized, "unauthenticated", "auth.token", "this call needs a token")
			return
		}
		switch r.URL.Path {
		case "/api/v1/apps":
			_, _ = io.WriteString(w, `{"data":[]}`)
		case "/deploy":
			playDeploy(w, r, problem)
		case "/api/v1/apps/team/shop":
			_, _ = io.WriteString(w, `{"id":"a-shop","name":"shop","namespace":"team"}`)
		case "/api/v1/apps/a-shop":
			if r.Method != http.MethodDelete || deleted.Swap(true) {
				problem(http.StatusNotFound, "not_found", "app.unknown", "there is no such app")
				return
			}
			w.WriteHeader(http.StatusNoContent)
		case "/api/v1/apps/a-shop/deployments":
			_, _ = io.WriteString(w, playedHistory)
		case "/api/v1/deployments/d2/rollback":
			playEvents(w, "shop", "a", playedUp)
		case "/api/v1/deployments/d3/logs":
			w.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprintf(w, `{"container":"shop","stream":"stdout","text":"asked for %s"}`+"\n\n"+`{"container":"shop","stream":"stderr","text":"bad"}`+"\n", r.URL.RawQuery)
		default:
			problem(http.StatusNotFound, "not_found", "route.unknown", "there is no such route")
		}
	}))
	env.Defer(s.Close)
	env.Setenv("API", s.URL)
	env.Setenv("SAME", strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	env.Setenv("SENDS", httpRedirect(env, s.URL))
	return nil
}

func httpRedirect(env *testscript.Env, to string) string {
	s := httptest.NewServer(http.RedirectHandler(to+"/api/v1/apps", http.StatusTemporaryRedirect))
	env.Defer(s.Close)
	return s.URL
}

func playDeploy(w http.ResponseWriter, r *http.Request, problem func(int, string, string, string)) {
	var m struct{ Name, Namespace, Image string }
	if err := json.Unmarshal([]byte(r.FormValue("manifest")), &m); err != nil {
		problem(http.StatusBadRequest, "invalid_argument", "json.malformed", err.Error())
		return
	}
	if m.Namespace == "other" {
		problem(http.StatusForbidden, "permission_denied", "auth.scope", "this caller lacks the scope deploy:other")
		return
	}
	if r.URL.Query().Get("dry_run") == "true" {
		fmt.Fprintf(w, `{"app":%q,"environment":"production","operation":"update","changes":[{"field":"replicas","old":"1","new":"2"},{"field":"env.A","new":"set"}],"warnings":["be careful"]}`, m.Name)
		return
	}
	state := playedUp
	if m.Name == "broken" {
		state = `"status":"failed","error":{"code":"app.exited","class":13,"detail":"the app exited with code 1","logs_tail":["panic: no database"]}`
	}
	playEvents(w, m.Name, m.Image, state)
}

// playedUp is of a deployment that came up, playedHistory those of the app: the
// latest did not, and one is of another environment.
const (
	playedUp      = `"status":"succeeded","revision":3,"pod_id":"pod","image_digest":"sha256:ab","manifest_digest":"sha256:cd","url":"http://shop.example/","preview_url":"http://preview.example/","warnings":["the image runs as root"]`
	playedHistory = `{"data":[
{"id":"d4","environment":"production","revision":4,"status":"failed","created_at":"2026-11-04T12:00:00Z","updated_at":"2026-11-04T12:01:00Z","error":{"code":"app.exited","class":13,"detail":"the app exited with code 1","logs_tail":["panic: no database"]}},
{"id":"d9","environment":"development","revision":9,"status":"succeeded","created_at":"2026-11-03T12:00:00Z"},
{"id":"d3","app":"shop","namespace":"team","environment":"production","revision":3,"status":"succeeded","rollback_of":1,"image_digest":"sha256:ab","manifest_digest":"sha256:cdcdcdcdcdcd","url":"http://shop.example/","preview_url":"http://preview.example/x","created_at":"2026-11-02T12:00:00Z"},
{"id":"d2","environment":"production","revision":2,"status":"succeeded","image_digest":"sha256:aa","manifest_digest":"sha256:cccccccccccc","created_at":"2026-11-01T12:00:00Z"}],"total":4}`
)

func playEvents(w http.ResponseWriter, name, image, state string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i, event := range []string{
		fmt.Sprintf(`"kind":"status","deployment":{"id":"d1","app":%q,"status":"pending"}`, name),
		`"kind":"progress","text":"fetching","done":1,"total":4096`, `"kind":"log","text":"pulled ` + image + `"`,
		fmt.Sprintf(`"kind":"result","deployment":{"id":"d1","app":%q,"app_id":"a-%s","namespace":"team","environment":"production",%s}`, name, name, state),
	} {
		fmt.Fprintf(w, "id: %d\ndata: {\"seq\":%d,%s}\n\n", i+1, i+1, event)
	}
}
