package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"apocryph/proto/problem"
	"apocryph/provider"
	"apocryph/provider/artifacts"
	"apocryph/provider/auth"
	"apocryph/provider/httpapi"
	"apocryph/provider/providertest"
)

// TestMain leaves out what net/http does after it refused a header: it waits half
// a second for the caller to read why, longer than a leak is waited for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// core is a provider with what its pods are.
type core struct {
	ready chan struct{}
	pods  []provider.PodView
	err   error
}

func (f *core) All(context.Context) ([]provider.PodView, error) { return f.pods, f.err }
func (f *core) Ready() <-chan struct{}                          { return f.ready }

func readyCore() *core {
	f := &core{ready: make(chan struct{})}
	close(f.ready)
	return f
}

// records keep artifacts in memory.
type records struct {
	mu  sync.Mutex
	all map[string]artifacts.Artifact
}

func (r *records) SaveArtifact(_ context.Context, a artifacts.Artifact) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[a.ID] = a
	return nil
}

func (r *records) Artifacts(context.Context) (out []artifacts.Artifact, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.all {
		out = append(out, a)
	}
	return out, nil
}

func (r *records) DeleteArtifact(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, id)
	return nil
}

// tokenMemory keeps local tokens.
type tokenMemory struct {
	mu  sync.Mutex
	all map[string]auth.Token
}

func (m *tokenMemory) TokenByHash(_ context.Context, hash [32]byte) (auth.Token, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.all {
		if t.Hash == hash {
			return t, true, nil
		}
	}
	return auth.Token{}, false, nil
}

func (m *tokenMemory) Tokens(context.Context) (out []auth.Token, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.all {
		out = append(out, t)
	}
	return out, nil
}

func (m *tokenMemory) SaveToken(_ context.Context, t auth.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[t.ID] = t
	return nil
}

func (m *tokenMemory) DeleteToken(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, id)
	return nil
}

var eventually = providertest.Eventually

// world is an API over fakes, served over TCP and a socket.
type world struct {
	t       *testing.T
	cfg     httpapi.Config
	api     *httpapi.API
	pods    *core
	deploys *orchestrator
	store   *artifacts.Store
	answers *providertest.Documents
	// addr is the TCP address, path the socket.
	addr, path string
	// tcp has no credential, socket is the operator.
	tcp, socket *http.Client
	contract    *contract
}

// newWorld starts one; change alters its configuration.
func newWorld(t *testing.T, change ...func(*httpapi.Config)) *world {
	t.Helper()
	w := &world{t: t, pods: readyCore(), deploys: newOrchestrator(), answers: providertest.NewDocuments()}
	dir := t.TempDir()
	staging := filepath.Join(dir, "staging")
	if err := os.Mkdir(staging, 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := artifacts.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	w.store, err = artifacts.New(artifacts.Config{Dir: filepath.Join(dir, "artifacts"), Identity: id, Records: &records{all: map[string]artifacts.Artifact{}}, MaxBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	<-w.store.Ready()
	door, err := auth.New(auth.Config{Tokens: &tokenMemory{all: map[string]auth.Token{}}})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = httpapi.Config{
		Pods: w.pods, Apps: w.deploys, Deployments: w.deploys, Artifacts: w.store, Auth: door, Answers: w.answers, Staging: staging, Version: "1.2.3",
	}
	for _, f := range change {
		f(&w.cfg)
	}
	if w.api, err = httpapi.New(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.contract = newContract(t, w.api)
	w.path = filepath.Join(dir, "s")
	w.tcp, w.addr = w.listen("tcp", "127.0.0.1:0")
	w.socket, _ = w.listen("unix", w.path)
	return w
}

func (w *world) listen(network, at string) (*http.Client, string) {
	w.t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		w.t.Fatal(err)
	}
	s := w.api.Server()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	w.t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, l.Addr().String())
	}}
	return &http.Client{
		Transport:     &checked{next: transport, contract: w.contract},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, l.Addr().String()
}

// reply is an answer that was read whole.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(r.body, into); err != nil {
		t.Fatalf("%v: %d %s", err, r.StatusCode, r.body)
	}
}

// call makes a request of the operator. Headers are "Name: value".
func (w *world) call(method, path, body string, headers ...string) reply {
	w.t.Helper()
	return w.as(w.socket, method, path, strings.NewReader(body), headers...)
}

func (w *world) as(c *http.Client, method, path string, body io.Reader, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://provider"+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{resp, b}
}

// token makes a local token.
func (w *world) token(scopes ...string) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"name": "t", "scopes": scopes, "expires": "1h"})
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.call("POST", "/api/v1/tokens", string(body), jsonType)
	var out struct{ Token string }
	if r.json(w.t, &out); out.Token == "" {
		w.t.Fatalf("no token: %s", r.body)
	}
	return "Authorization: Bearer " + out.Token
}

const jsonType = "Content-Type: application/json"

// want checks an answer's status.
func (r reply) want(t *testing.T, code int) reply {
	t.Helper()
	if r.StatusCode != code {
		t.Fatalf("got %d %s, want %d", r.StatusCode, r.body, code)
	}
	return r
}

// problem checks an RFC 9457 document, and that it names each text.
func (r reply) problem(t *testing.T, code int, reason string, names ...string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(r.body, &doc); err != nil {
		t.Fatalf("%v: %d %s", err, r.StatusCode, r.body)
	}
	if r.StatusCode != code || doc["status"] != float64(code) || doc["type"] != problem.TypePrefix+reason || doc["detail"] == "" || r.Header.Get("Content-Type") != problem.ContentType {
		t.Errorf("got %d %s %s, want %d %s", r.StatusCode, r.Header.Get("Content-Type"), r.body, code, reason)
	}
	if id := r.Header.Get("X-Request-Id"); id == "" || doc["request_id"] != id {
		t.Errorf("request id %q in the header, %v in the problem", id, doc["request_id"])
	}
	for _, n := range names {
		if !strings.Contains(string(r.body), n) {
			t.Errorf("does not say %q: %s", n, r.body)
		}
	}
	return doc
}
