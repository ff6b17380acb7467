package httpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const deploymentID = "6de79f14-448f-413c-a39f-e06bc1021513"

// api plays a provider. Each handler is for one call, in their order; a call
// more is a fault of the test.
type api struct {
	t     *testing.T
	url   string
	mu    sync.Mutex
	calls []call
	next  []http.HandlerFunc
}

type call struct {
	method, path, key, last, auth string
	manifest, files               string
}

func play(t *testing.T, handlers ...http.HandlerFunc) *api {
	a := &api{t: t, next: handlers}
	s := httptest.NewServer(a)
	a.url = s.URL
	t.Cleanup(s.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.calls = append(a.calls, call{method: r.Method, path: r.URL.RequestURI(), key: r.Header.Get("Idempotency-Key"), last: r.Header.Get("Last-Event-ID"), auth: r.Header.Get("Authorization")})
	n, next, t := len(a.calls)-1, a.next, a.t
	a.mu.Unlock()
	if n >= len(next) {
		t.Errorf("a call too many: %s %s", r.Method, r.URL)
		return
	}
	next[n](w, r)
}

// reset makes it another test's.
func (a *api) reset(t *testing.T, next []http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t, a.calls, a.next = t, nil, next
}

// seen are the calls so far.
func (a *api) seen() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// received reads the form of the latest call.
func (a *api) received(r *http.Request) {
	m, err := r.MultipartReader()
	if err != nil {
		a.t.Error(err)
		return
	}
	// Only behind the body's end does a server notice that its caller has left.
	defer func() { _, _ = io.Copy(io.Discard, r.Body) }()
	a.mu.Lock()
	defer a.mu.Unlock()
	c := &a.calls[len(a.calls)-1]
	for {
		p, err := m.NextPart()
		if err != nil {
			if err != io.EOF {
				a.t.Error(err)
			}
			return
		}
		b, err := io.ReadAll(p)
		if err != nil {
			a.t.Error(err)
		}
		switch p.FormName() {
		case "manifest":
			c.manifest += string(b)
		case "files":
			c.files += p.FileName() + "=" + string(b)
		default:
			a.t.Errorf("a part %q", p.FormName())
		}
	}
}

func (a *api) client(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	addr, err := ParseAddress(a.url)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Address: addr, Token: "apo_secret", Pause: time.Microsecond}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// A connection that is lost while a refusal is awaited is noticed after it.
	c.http.Transport.(*http.Transport).ExpectContinueTimeout = 20 * time.Millisecond
	t.Cleanup(c.Close)
	return c
}

func sample() Request {
	return Request{Manifest: []byte(`{"name":"shop"}`), Files: []File{{Name: "image.tar", Size: 5, Write: func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "bytes")
		return err
	}}}}
}

// events begins a stream and writes events from a number on, then what ends it.
func (a *api) events(from int, texts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			a.received(r)
		}
		w.Header().Set("Location", "/api/v1/deployments/"+deploymentID)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ": waiting\n\n")
		for i, text := range texts {
			if text == "cut" {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "id: %d\nevent: x\ndata: {\"seq\":%d,%s}\n\n", from+i, from+i, text)
		}
		_ = http.NewResponseController(w).Flush()
	}
}

func statusEvent(state string, more ...string) string {
	kind := "status"
	if state == "succeeded" || state == "failed" || state == "cancelled" {
		kind = "result"
	}
	return fmt.Sprintf(`"kind":%q,"deployment":{"id":%q,"app":"shop","status":%q%s}`, kind, deploymentID, state, strings.Join(append([]string{""}, more...), ","))
}

const succeeded = `"revision":3,"url":"http://shop.example/","warnings":["root"]`

// outcome is what a deploy told.
type outcome struct {
	d     *Deployment
	err   error
	kinds string
}

func deploy(t *testing.T, c *Client, req Request) outcome {
	t.Helper()
	var kinds []string
	d, err := c.Deploy(t.Context(), req, func(e Event) {
		if e.Kind != "upload" || len(kinds) == 0 || kinds[len(kinds)-1] != "upload" {
			kinds = append(kinds, e.Kind)
		}
	})
	return outcome{d, err, strings.Join(kinds, " ")}
}

func (o outcome) refused(t *testing.T, code status.Code, reason string) *status.Error {
	t.Helper()
	var e *status.Error
	if !errors.As(o.err, &e) || e.Code != code || e.Reason != reason {
		t.Fatalf("got %v (%s %s), want %s %s", o.err, status.CodeOf(o.err), status.ReasonOf(o.err), code, reason)
	}
	return e
}

func answer(code int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func problemOf(code int, class, reason string, more ...string) http.HandlerFunc {
	var doc bytes.Buffer
	_ = json.Compact(&doc, []byte(fmt.Sprintf(`{"type":"urn:apocryph:problem:%s","title":"T","status":%d,"detail":"the detail","code":%q%s}`,
		reason, code, class, strings.Join(append([]string{""}, more...), ","))))
	return answer(code, "application/problem+json", doc.String())
}

func lose(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
