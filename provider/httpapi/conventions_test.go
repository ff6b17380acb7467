package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

func TestPods(t *testing.T) {
	w := newWorld(t)
	at := epoch
	w.pods.pods = []provider.PodView{
		{
			ID: "abc", Publisher: "12D3", Name: "app", Revision: 3, State: provider.StateRunning, Created: at, Updated: at,
			Endpoints:  []provider.Endpoint{{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: "h", URL: "http://h/", Dial: "127.0.0.1:8081"}},
			Containers: []provider.ContainerView{{Name: "web", Replica: 1, State: "exited", Restarts: 2, ExitCode: 137, ImageID: "sha256:00", Reason: "killed"}},
		},
		{ID: "def", Name: "bare", State: provider.StateFailed, Reason: "it did not come up"},
	}
	var got map[string][]map[string]any
	w.call("GET", "/pods", "").want(t, 200).json(t, &got)
	want := map[string]any{
		"id": "abc", "publisher": "12D3", "name": "app", "revision": 3.0, "state": "running", "created": "2026-11-01T12:00:00Z", "updated": "2026-11-01T12:00:00Z",
		"manifest_digest": "sha256:" + strings.Repeat("0", 64),
		"endpoints":       []any{map[string]any{"container": "web", "protocol": "http", "url": "http://h/", "dial": "127.0.0.1:8081"}},
		"containers": []any{map[string]any{
			"name": "web", "replica": 1.0, "state": "exited", "restarts": 2.0, "exit_code": 137.0, "image_id": "sha256:00", "reason": "killed",
		}},
	}
	if diff := cmp.Diff(want, got["pods"][0]); diff != "" {
		t.Errorf("the pod differs:\n%s", diff)
	}
	// Lists are lists, also empty ones.
	if e, ok := got["pods"][1]["endpoints"].([]any); !ok || len(e) != 0 {
		t.Errorf("got %v", got["pods"][1])
	}
	// What is internal stays inside.
	w.pods.err = errors.New("CANARY at /secret/path")
	if r := w.call("GET", "/pods", ""); strings.Contains(string(r.body), "CANARY") {
		t.Errorf("shows %s", r.body)
	} else {
		r.problem(t, 500, "internal")
	}
	w.pods.err = status.New(status.Unavailable, "runtime.silent", "the container runtime does not answer")
	w.call("GET", "/pods", "").problem(t, 503, "runtime.silent")
}

func TestRouter(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/none", "/health/", "/health/x", "/debug/pprof/", "/api/v1", "/api/v1/apps/", "//health", "/x/../health", "/api/v1/apps/a/b/c", "/%0a%0dX"} {
		r := w.as(w.tcp, "GET", path, nil)
		if r.problem(t, 404, "route.unknown", "openapi.json"); r.Header.Get("X") != "" || r.Header.Get("Location") != "" {
			t.Errorf("%s: got %v", path, r.Header)
		}
	}
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/health", "GET, HEAD, OPTIONS"},
		{"GET", "/deploy", "OPTIONS, POST"},
		{"PATCH", "/api/v1/apps/x", "DELETE, GET, HEAD, OPTIONS, PUT"},
		{"DELETE", "/api/v1/artifacts", "GET, HEAD, OPTIONS, POST"},
		{"BREW", "/pods", "GET, HEAD, OPTIONS"},
	} {
		r := w.as(w.tcp, c.method, c.path, nil)
		if r.problem(t, 405, "route.method"); r.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: allows %q, want %q", c.method, c.path, r.Header.Get("Allow"), c.allow)
		}
	}
	if r := w.as(w.tcp, "OPTIONS", "/deploy", nil).want(t, 204); r.Header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("got %v", r.Header)
	}
	if r := w.as(w.tcp, "HEAD", "/health", nil).want(t, 200); len(r.body) != 0 {
		t.Errorf("got %q", r.body)
	}
}

func TestRequestIDs(t *testing.T) {
	w := newWorld(t)
	if r := w.call("GET", "/none", "", "X-Request-Id: abc.D-1_2"); r.Header.Get("X-Request-Id") != "abc.D-1_2" {
		t.Errorf("got %v", r.Header)
	}
	seen := map[string]bool{}
	for _, bad := range []string{"", "a b", "a\tb", "é", strings.Repeat("a", 65), `"`} {
		id := w.call("GET", "/health", "", "X-Request-Id: "+bad).Header.Get("X-Request-Id")
		if id == bad || len(id) != 36 || seen[id] {
			t.Errorf("%q became %q", bad, id)
		}
		seen[id] = true
	}
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	const key = "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"
	body := form(asValue("manifest", site), asFile("files", "a", "a"))
	first := w.call("POST", "/deploy", body, formType, key).want(t, 201)
	// curl's boundary is another one each time.
	again := w.call("POST", "/deploy", strings.ReplaceAll(body, boundary, "other"), "Content-Type: multipart/form-data; boundary=other", key).want(t, 201)
	if string(again.body) != string(first.body) || again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("got %v %s", again.Header, again.body)
	}
	if first.Header.Get("Idempotent-Replayed") != "" || w.deploys.count() != 1 {
		t.Errorf("%d deployments", w.deploys.count())
	}
	for name, other := range map[string]string{
		"file": form(asValue("manifest", site), asFile("files", "a", "b")), "file's name": form(asValue("manifest", site), asFile("files", "b", "a")),
		"order": form(asFile("files", "a", "a"), asValue("manifest", site)),
	} {
		w.call("POST", "/deploy", other, formType, key).problem(t, 422, "api.key_reused")
		_ = name
	}
	// Another caller's key, and another route's, is another key.
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(body), formType, key, w.token("deploy:default")).want(t, 201)
	w.call("POST", "/api/v1/deployments", body, formType, key).want(t, 201)
	if n := w.deploys.count(); n != 3 {
		t.Errorf("%d deployments", n)
	}
	app := w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, key).want(t, 201)
	if r := w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, key).want(t, 201); string(r.body) != string(app.body) {
		t.Errorf("got %s", r.body)
	}
	w.call("POST", "/api/v1/apps", `{"name":"y"}`, jsonType, key).problem(t, 422, "api.key_reused")
	w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType).problem(t, 409, "app.exists")
	w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, "Idempotency-Key: "+strings.Repeat("x", 256)).problem(t, 400, "api.key")

	// A failure is an answer, too; its replay is about the new request.
	const bad = "Idempotency-Key: bad"
	w.deploys.failure = &deploy.Failure{Code: "app.exited", Detail: "x", Class: status.AppFailed}
	w.call("POST", "/deploy", body, formType, bad).problem(t, 502, "app.exited")
	w.deploys.failure = nil
	r := w.call("POST", "/deploy", body, formType, bad)
	if r.problem(t, 502, "app.exited"); r.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %v", r.Header)
	}
}

func TestIdempotencyWhileRunning(t *testing.T) {
	w := newWorld(t)
	const key = "Idempotency-Key: k"
	w.deploys.gate = make(chan struct{})
	body := form(asValue("manifest", site), asFile("files", "a", "a"))
	done := make(chan reply, 1)
	go func() { done <- w.call("POST", "/deploy", body, formType, key) }()
	eventually(t, "it was submitted", func() bool { return w.deploys.count() == 1 })
	if r := w.call("POST", "/deploy", body, formType, key); r.Header.Get("Retry-After") == "" {
		t.Errorf("got %v", r.Header)
	} else {
		r.problem(t, 409, "api.key_running")
	}
	close(w.deploys.gate)
	(<-done).want(t, 201)
}

// TestIdempotencySurvives: what is kept is kept by the next process, for a day.
func TestIdempotencySurvives(t *testing.T) {
	w := newWorld(t)
	const key = "Idempotency-Key: k"
	first := w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, key).want(t, 201)
	now := time.Now()
	next := newWorld(t, func(c *httpapi.Config) {
		c.Answers, c.Now = w.answers, func() time.Time { return now }
	})
	if r := next.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, key).want(t, 201); string(r.body) != string(first.body) {
		t.Errorf("got %s", r.body)
	}
	now = now.Add(25 * time.Hour)
	if r := next.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, key).want(t, 201); r.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("after a day: %v", r.Header)
	}
	if kept, err := w.answers.All(t.Context()); err != nil || len(kept) != 1 {
		t.Errorf("kept %d, %v", len(kept), err)
	}
}

func TestKeysAreBounded(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Keys = 8 })
	for _, k := range []string{"1", "2"} {
		w.call("POST", "/api/v1/apps", `{"name":"a`+k+`"}`, jsonType, "Idempotency-Key: "+k).want(t, 201)
	}
	w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType, "Idempotency-Key: 3").problem(t, 429, "api.keys")
	w.call("POST", "/api/v1/apps", `{"name":"x"}`, jsonType).want(t, 201)
}

func TestCORS(t *testing.T) {
	const page = "https://console.example"
	off := newWorld(t)
	for name := range off.call("GET", "/health", "", "Origin: "+page).Header {
		if strings.HasPrefix(name, "Access-Control") {
			t.Errorf("%s without configuration", name)
		}
	}
	w := newWorld(t, func(c *httpapi.Config) { c.Origins = []string{page} })
	if r := w.call("GET", "/health", "", "Origin: "+page); r.Header.Get("Access-Control-Allow-Origin") != page || r.Header.Get("Vary") != "Origin" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("got %v", r.Header)
	}
	pre := w.as(w.tcp, "OPTIONS", "/api/v1/apps", nil, "Origin: "+page, "Access-Control-Request-Method: POST").want(t, 204)
	if !strings.Contains(pre.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("got %v", pre.Header)
	}
	for _, other := range []string{"https://evil.example", "null", "https://console.example.evil.example", "http://console.example"} {
		if r := w.call("GET", "/health", "", "Origin: "+other); r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is allowed", other)
		}
	}
}

// TestLimits looks at what a server was told, which net/http keeps: nothing is
// left at "no limit", which is its default.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	s := w.api.Server()
	for name, d := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout} {
		if d <= 0 || d > 2*time.Minute {
			t.Errorf("%s: %s", name, d)
		}
	}
	if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("a header may have %d bytes", s.MaxHeaderBytes)
	}
	w.as(w.tcp, "GET", "/health", nil, "X: "+strings.Repeat("x", 64<<10)).want(t, http.StatusRequestHeaderFieldsTooLarge)
	w.call("POST", "/api/v1/apps", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`, jsonType).problem(t, 413, "http.too_large")
}

// TestSlowUpload: an upload that stands still ends, and says so.
func TestSlowUpload(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Limits.Stall = 50 * time.Millisecond })
	at := "/api/v1/artifacts/" + w.artifact() + "/upload"
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST " + at + " HTTP/1.1\r\nHost: p\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nx")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 408 ") || !strings.Contains(string(b[:n]), "upload.too_slow") {
		t.Errorf("got %v %s", err, b[:n])
	}
}

// TestPanic: a defect here ends one call, and tells nothing.
func TestPanic(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.Pods = panics{} })
	if r := w.call("GET", "/pods", ""); strings.Contains(string(r.body), "CANARY") {
		t.Errorf("shows %s", r.body)
	} else {
		r.problem(t, 500, "internal")
	}
}

type panics struct{}

func (panics) All(context.Context) ([]provider.PodView, error) { panic("CANARY") }
func (panics) Ready() <-chan struct{}                          { return nil }

// TestServesAnyListener: the API is a handler, so that the ingress can serve it.
func TestServesAnyListener(t *testing.T) {
	w := newWorld(t)
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/health", nil))
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got["status"] != "ok" {
		t.Errorf("got %v %s", err, rec.Body)
	}
	rec = httptest.NewRecorder()
	w.api.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "POST", "/deploy", strings.NewReader("x")))
	if rec.Code != 401 {
		t.Errorf("got %d", rec.Code)
	}
}
