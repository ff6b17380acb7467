package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/httpapi"
)

// TestMain leaves out what net/http does after it refused a header: it waits half
// a second for the caller to read why, longer than a leak is waited for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fake is a provider with what its pods are.
type fake struct {
	ready chan struct{}
	pods  []provider.PodView
	err   error
}

func (f *fake) All(context.Context) ([]provider.PodView, error) { return f.pods, f.err }
func (f *fake) Ready() <-chan struct{}                          { return f.ready }

func newFake() *fake {
	f := &fake{ready: make(chan struct{})}
	close(f.ready)
	return f
}

// serve serves the API over TCP and over a socket, until the test ends.
func serve(t *testing.T, f *fake) (tcp, socket *http.Client) {
	t.Helper()
	api := httpapi.New(f, "1.2.3", nil)
	start := func(network, addr string, operator bool) *http.Client {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		s := api.Server(operator)
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, l.Addr().String())
		}}}
	}
	return start("tcp", "127.0.0.1:0", false), start("unix", filepath.Join(t.TempDir(), "s"), true)
}

func do(t *testing.T, c *http.Client, method, path string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://provider"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// wantProblem checks an RFC 9457 document.
func wantProblem(t *testing.T, resp *http.Response, body []byte, code int, reason string) {
	t.Helper()
	var doc struct {
		Type   string `json:"type"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if resp.StatusCode != code || doc.Status != code || doc.Type != problem.TypePrefix+reason || doc.Detail == "" || resp.Header.Get("Content-Type") != problem.ContentType {
		t.Errorf("got %d %s %s, want %d %s", resp.StatusCode, resp.Header.Get("Content-Type"), body, code, reason)
	}
}

func TestHealth(t *testing.T) {
	f := &fake{ready: make(chan struct{})}
	tcp, socket := serve(t, f)
	for _, c := range []*http.Client{tcp, socket} {
		resp, body := do(t, c, "GET", "/health", nil)
		wantProblem(t, resp, body, 503, "provider.starting")
		if resp.Header.Get("Retry-After") != "1" {
			t.Errorf("retry after %q", resp.Header.Get("Retry-After"))
		}
	}
	close(f.ready)
	for _, c := range []*http.Client{tcp, socket} {
		resp, body := do(t, c, "GET", "/health", nil)
		if resp.StatusCode != 200 || strings.TrimSpace(string(body)) != `{"status":"ok","version":"1.2.3"}` || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %v %s", resp.StatusCode, resp.Header, body)
		}
	}
}

func TestPodsAreForTheOperator(t *testing.T) {
	f := newFake()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	f.pods = []provider.PodView{
		{
			ID: "abc", Publisher: "12D3", Name: "app", Revision: 3, State: provider.StateRunning, Created: at, Updated: at,
			Endpoints:  []provider.Endpoint{{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: "h", URL: "http://h/", Dial: "127.0.0.1:8081"}},
			Containers: []provider.ContainerView{{Name: "web", Replica: 1, State: "exited", Restarts: 2, ExitCode: 137, ImageID: "sha256:00", Reason: "killed"}},
		},
		{ID: "def", Name: "bare", State: provider.StateFailed, Reason: "it did not come up"},
	}
	tcp, socket := serve(t, f)
	resp, body := do(t, tcp, "GET", "/pods", nil)
	wantProblem(t, resp, body, 403, "api.operator")
	if strings.Contains(string(body), "abc") {
		t.Errorf("the refusal shows a pod: %s", body)
	}

	resp, body = do(t, socket, "GET", "/pods", nil)
	var got map[string][]map[string]any
	if err := json.Unmarshal(body, &got); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v: %d %s", err, resp.StatusCode, body)
	}
	want := map[string]any{
		"id": "abc", "publisher": "12D3", "name": "app", "revision": 3.0, "state": "running", "created": "2026-11-01T00:00:00Z", "updated": "2026-11-01T00:00:00Z",
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
	f.pods = nil
	if _, body = do(t, socket, "GET", "/pods", nil); strings.TrimSpace(string(body)) != `{"pods":[]}` {
		t.Errorf("got %s", body)
	}
}

func TestRefusals(t *testing.T) {
	f := newFake()
	tcp, socket := serve(t, f)
	for _, c := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/none"}, {"POST", "/health"}, {"DELETE", "/pods"}, {"GET", "/health/x"}, {"GET", "/debug/pprof/"},
	} {
		resp, body := do(t, tcp, c.method, c.path, nil)
		wantProblem(t, resp, body, 404, "route.unknown")
	}
	// What is internal stays inside.
	f.err = errors.New("CANARY at /secret/path")
	resp, body := do(t, socket, "GET", "/pods", nil)
	wantProblem(t, resp, body, 500, "internal")
	if strings.Contains(string(body), "CANARY") {
		t.Errorf("shows %s", body)
	}
	f.err = status.New(status.Unavailable, "runtime.silent", "the container runtime does not answer")
	resp, body = do(t, socket, "GET", "/pods", nil)
	wantProblem(t, resp, body, 503, "runtime.silent")
	// A path that would break out of a line of the log or of a header.
	resp, _ = do(t, tcp, "GET", "/%0a%0dX", nil)
	if resp.StatusCode != 404 || resp.Header.Get("X") != "" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

// TestLimits looks at what a server was told, which net/http keeps: nothing is
// left at "no limit", which is its default.
func TestLimits(t *testing.T) {
	for _, operator := range []bool{false, true} {
		s := httpapi.New(newFake(), "", nil).Server(operator)
		for name, d := range map[string]time.Duration{
			"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout,
		} {
			if d <= 0 || d > 2*time.Minute {
				t.Errorf("%s: %s", name, d)
			}
		}
		if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 64<<10 {
			t.Errorf("a header may have %d bytes", s.MaxHeaderBytes)
		}
	}
	tcp, _ := serve(t, newFake())
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://provider/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := tcp.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header got %d", resp.StatusCode)
	}
}
