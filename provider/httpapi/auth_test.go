package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/artifacts"
	"apocryph/provider/httpapi"
)

var notUploaded = status.New(status.Conflict, "artifact.not_uploaded", "the artifact has no content")

// blocked is a body whose end is held back.
type blocked struct {
	reached, release chan struct{}
	once             sync.Once
	sent             int
}

func newBlocked() *blocked {
	return &blocked{reached: make(chan struct{}), release: make(chan struct{})}
}

func (b *blocked) Read(p []byte) (int, error) {
	// More than all buffers on the way: at its end the server is reading.
	if b.sent < 4<<20 {
		n := copy(p, strings.Repeat("x", 16<<10))
		b.sent += n
		return n, nil
	}
	b.once.Do(func() { close(b.reached) })
	<-b.release
	return 0, io.EOF
}

func TestI13HealthNeedsNoToken(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Auth = nil })
	for _, c := range []*http.Client{w.tcp, w.socket} {
		r := w.as(c, "GET", "/health", nil).want(t, 200)
		if !strings.HasPrefix(string(r.body), `{"status":"ok","version":"1.2.3","uptime_s":`) {
			t.Errorf("got %s", r.body)
		}
	}
	w.pods.ready = make(chan struct{})
	if r := w.as(w.tcp, "GET", "/health", nil); r.Header.Get("Retry-After") != "1" {
		t.Errorf("got %v", r.Header)
	} else {
		r.problem(t, 503, "provider.starting")
	}
}

// everyRoute calls each route of the document.
func (w *world) everyRoute(each func(method, path string)) {
	w.t.Helper()
	var doc struct{ Paths map[string]map[string]any }
	w.call("GET", "/openapi.json", "").want(w.t, 200).json(w.t, &doc)
	if len(doc.Paths) < 20 {
		w.t.Fatalf("only %d paths", len(doc.Paths))
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			each(strings.ToUpper(method), strings.NewReplacer("{id}", "x", "{namespace}", "default", "{name}", "x").Replace(path))
		}
	}
}

func TestI14NoTokenNoAnswer(t *testing.T) {
	w := newWorld(t)
	open := map[string]bool{"/health": true, "/openapi.json": true, "/docs": true}
	w.everyRoute(func(method, path string) {
		if open[path] || method == "OPTIONS" {
			return
		}
		for header, challenge := range map[string]string{
			"X: y":                          `Bearer realm="apocryph"`,
			"Authorization: Bearer rubbish": `invalid_token`,
			"Authorization: Basic dTpw":     `Bearer`,
		} {
			r := w.as(w.tcp, method, path, nil, header)
			if r.StatusCode != 401 || !strings.Contains(r.Header.Get("WWW-Authenticate"), challenge) {
				t.Errorf("%s %s %q: got %d %v", method, path, header, r.StatusCode, r.Header)
			}
		}
	})
}

func TestI14UnconfiguredSaysHow(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Auth = nil })
	w.everyRoute(func(method, path string) {
		if path == "/health" {
			return
		}
		r := w.as(w.tcp, method, path, nil, "Authorization: Bearer x")
		if r.StatusCode != 401 || method != "HEAD" && !strings.Contains(string(r.body), "unix socket") {
			t.Errorf("%s %s: got %d %s", method, path, r.StatusCode, r.body)
		}
	})
	w.call("GET", "/api/v1/apps", "").want(t, 200)
}

func TestI14Scopes(t *testing.T) {
	w := newWorld(t)
	deployA, readA, both, none := w.token("deploy:team-a"), w.token("read:team-a"), w.token("deploy:team-a", "read:team-b"), w.token("read:other")
	app := func(token string) string {
		r := w.as(w.tcp, "POST", "/api/v1/apps", strings.NewReader(`{"name":"shop"}`), jsonType, token).want(t, 201)
		if !strings.Contains(string(r.body), `"namespace":"team-a"`) {
			t.Errorf("not in the token's namespace: %s", r.body)
		}
		return r.Header.Get("Location")
	}(deployA)

	w.as(w.tcp, "GET", app, nil, readA).want(t, 200)
	w.as(w.tcp, "GET", app, nil, both).want(t, 200)
	// What is foreign is not there; what may only be read says so.
	w.as(w.tcp, "GET", app, nil, none).problem(t, 404, "app.unknown")
	w.as(w.tcp, "DELETE", app, nil, none).problem(t, 404, "app.unknown")
	w.as(w.tcp, "GET", "/api/v1/apps/team-a/shop", nil, none).problem(t, 404, "app.unknown")
	if r := w.as(w.tcp, "DELETE", app, nil, readA); !strings.Contains(r.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("got %v", r.Header)
	} else {
		r.problem(t, 403, "auth.scope")
	}
	w.as(w.tcp, "POST", "/api/v1/apps", strings.NewReader(`{"name":"x","namespace":"team-b"}`), jsonType, both).problem(t, 403, "auth.scope")
	w.as(w.tcp, "GET", "/api/v1/apps?namespace=team-b", nil, deployA).problem(t, 403, "auth.scope")
	w.as(w.tcp, "GET", "/api/v1/apps", nil, both).problem(t, 400, "api.namespace", "namespace")
	w.as(w.tcp, "GET", "/api/v1/apps?namespace=*", nil, deployA).problem(t, 400, "api.namespace")
	w.as(w.tcp, "GET", "/pods", nil, deployA).problem(t, 403, "auth.scope")
	w.as(w.tcp, "GET", "/api/v1/tokens", nil, deployA).problem(t, 403, "auth.scope")
	w.as(w.tcp, "GET", "/pods", nil, w.token("operator")).want(t, 200)

	// A token of several namespaces has no default; the query says which.
	made := func(query, token string) reply {
		return w.as(w.tcp, "POST", "/api/v1/apps"+query, strings.NewReader(`{"name":"several"}`), jsonType, token)
	}
	made("", both).problem(t, 400, "api.namespace", "team-a, team-b", "?namespace=")
	if r := made("?namespace=team-a", both).want(t, 201); !strings.Contains(string(r.body), `"namespace":"team-a"`) {
		t.Errorf("got %s", r.body)
	}
	made("?namespace=team-b", both).problem(t, 403, "auth.scope", "deploy:team-b")
	made("?namespace=other", deployA).problem(t, 403, "auth.scope")
	made("?namespace=A", deployA).problem(t, 400, "api.namespace")
	made("", w.token("deploy:*")).want(t, 201)
	w.as(w.tcp, "POST", "/api/v1/apps?namespace=team-b", strings.NewReader(`{"name":"x","namespace":"team-a"}`), jsonType, both).problem(t, 400, "api.namespace")

	body := func(ns string) string {
		return form(asValue("manifest", `{"name":"site","runtime":"static"`+ns+`}`), asFile("files", "a", "a"))
	}
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(body("")), formType, deployA).want(t, 201)
	if ns := w.deploys.last().Namespace; ns != "team-a" {
		t.Errorf("deployed to %q", ns)
	}
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(body(`,"namespace":"team-b"`)), formType, deployA).problem(t, 403, "auth.scope")
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(body("")), formType, both).problem(t, 400, "manifest.invalid", "/namespace")
	w.as(w.tcp, "POST", "/deploy?namespace=team-a", strings.NewReader(body("")), formType, both).want(t, 201)
	w.as(w.tcp, "POST", "/deploy?namespace=team-b", strings.NewReader(body(`,"namespace":"team-a"`)), formType, both).problem(t, 400, "api.namespace")
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(body("")), formType, readA).problem(t, 403, "auth.scope")

	// An artifact of one namespace is not for another's callers.
	art := w.as(w.tcp, "POST", "/api/v1/artifacts", strings.NewReader(myApp), jsonType, deployA).want(t, 201).Header.Get("Location")
	for _, method := range []string{"GET", "DELETE"} {
		w.as(w.tcp, method, art, nil, none).problem(t, 404, "artifact.unknown")
	}
	w.as(w.tcp, "POST", art+"/upload", strings.NewReader("x"), octets, none).problem(t, 404, "artifact.unknown")
	w.as(w.tcp, "POST", art+"/upload", strings.NewReader("x"), octets, readA).problem(t, 403, "auth.scope")
	var l page
	w.as(w.tcp, "GET", "/api/v1/artifacts", nil, none).want(t, 200).json(t, &l)
	if len(l.Data) != 0 {
		t.Errorf("shows %v", l.Data)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	token := w.token("deploy:team-a")
	var l struct{ Data []map[string]any }
	r := w.call("GET", "/api/v1/tokens", "").want(t, 200)
	if r.json(t, &l); len(l.Data) != 1 || strings.Contains(string(r.body), strings.TrimPrefix(token, "Authorization: Bearer ")) {
		t.Fatalf("got %s", r.body)
	}
	w.as(w.tcp, "GET", "/api/v1/apps", nil, token).want(t, 200)
	at := "/api/v1/tokens/" + l.Data[0]["id"].(string)
	w.call("DELETE", at, "").want(t, 204)
	w.call("DELETE", at, "").problem(t, 404, "auth.token_unknown")
	w.as(w.tcp, "GET", "/api/v1/apps", nil, token).want(t, 401)
	for body, says := range map[string]string{
		`{"name":"x","scopes":["deploy"],"expires":"1h"}`:        "/scopes",
		`{"name":"x","scopes":["read:a"],"expires":"soon"}`:      "/expires",
		`{"name":"x","scopes":[],"expires":"1h"}`:                "scope",
		`{"name":"x","scopes":["operator"],"expires":"100000h"}`: "",
	} {
		w.call("POST", "/api/v1/tokens", body, jsonType).problem(t, 400, "auth.token_invalid", says)
	}
}

func TestI15SocketAndTCPAreOne(t *testing.T) {
	w := newWorld(t)
	operator := w.token("operator")
	w.everyRoute(func(method, path string) {
		if method != "GET" || path == "/health" {
			return
		}
		a, b := w.as(w.socket, method, path, nil), w.as(w.tcp, method, path, nil, operator)
		if a.StatusCode != b.StatusCode {
			t.Errorf("%s: %d on the socket, %d over TCP", path, a.StatusCode, b.StatusCode)
		}
	})
	if st, err := os.Stat(w.path); err != nil || st.Mode()&os.ModeSocket == 0 {
		t.Errorf("%v %v", st, err)
	}
}

func TestConfig(t *testing.T) {
	_, err := httpapi.New(httpapi.Config{Apps: newOrchestrator(), Origins: []string{"*"}})
	var e *status.Error
	if !errors.As(err, &e) || e.Reason != "api.config" || len(e.Faults) != 3 {
		t.Errorf("got %v", err)
	}
	o := newOrchestrator()
	if _, err := httpapi.New(httpapi.Config{Pods: readyCore(), Apps: o, Deployments: o, Staging: "/nonexistent"}); status.ReasonOf(err) != "api.config" {
		t.Errorf("got %v", err)
	}
	// What is not there has no routes.
	w := newWorld(t, func(c *httpapi.Config) { c.Apps, c.Deployments, c.Artifacts = nil, nil, (*artifacts.Store)(nil) })
	for _, path := range []string{"/deploy", "/api/v1/apps", "/api/v1/artifacts"} {
		w.call("POST", path, "").problem(t, 404, "route.unknown")
	}
}
