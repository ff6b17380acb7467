package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// directAPI gives scripts the address of an HTTP API, API, whose one token is
// apo_good, and of a server that sends it elsewhere, SENDS. Apps called broken do
// not come up.
func directAPI(env *testscript.Env) error {
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
		default:
			problem(http.StatusNotFound, "not_found", "route.unknown", "there is no such route")
		}
	}))
	env.Defer(s.Close)
	env.Setenv("API", s.URL)
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
	state := `"status":"succeeded","revision":3,"pod_id":"pod","image_digest":"sha256:ab","manifest_digest":"sha256:cd","url":"http://shop.example/","preview_url":"http://preview.example/","warnings":["the image runs as root"]`
	if m.Name == "broken" {
		state = `"status":"failed","error":{"code":"app.exited","class":13,"detail":"the app exited with code 1","logs_tail":["panic: no database"]}`
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i, event := range []string{
		fmt.Sprintf(`"kind":"status","deployment":{"id":"d1","app":%q,"status":"pending"}`, m.Name),
		`"kind":"progress","text":"fetching","done":1,"total":4096`, `"kind":"log","text":"pulled ` + m.Image + `"`,
		fmt.Sprintf(`"kind":"result","deployment":{"id":"d1","app":%q,"namespace":"team","environment":"production",%s}`, m.Name, state),
	} {
		fmt.Fprintf(w, "id: %d\ndata: {\"seq\":%d,%s}\n\n", i+1, i+1, event)
	}
}
