package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apocryph/attest/client"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// clock is one that tests set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) add(d time.Duration)   { c.ahead.Add(int64(d)) }
func (c *clock) of(v *client.Verifier) { v.Now = c.now }

func newTransport(t *testing.T, v *client.Verifier) *client.Transport {
	t.Helper()
	tr := client.NewTransport(v, client.TransportOptions{})
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// send posts a body and returns the answer's.
func send(t *testing.T, tr http.RoundTripper, url string, body io.Reader) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	check(t, err)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	if req.Header.Get(client.ExpectHeader) != "" {
		t.Error("the caller's request was changed")
	}
	return string(b), nil
}

func TestTransport(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	var c clock
	c.of(v)
	tr := newTransport(t, v)
	for range 3 {
		got, err := send(t, tr, p.url(), strings.NewReader("secret"))
		check(t, err)
		if got != p.manifest.String() {
			t.Errorf("got %q", got)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("%d verifications for 3 requests", n)
	}
	// Every verdict expires.
	p.set(func(p *provider) { p.now = c.now })
	c.add(6 * time.Minute)
	_, err := send(t, tr, p.url(), nil)
	check(t, err)
	if n := p.asked.Load(); n != 2 {
		t.Errorf("%d verifications after the verdict's end, want 2", n)
	}
}

// TestTransportDenies: what is not affirmed gets nothing, each time anew.
func TestTransportDenies(t *testing.T) {
	p := newProvider(t)
	tr := newTransport(t, &client.Verifier{})
	for range 2 {
		body := &closer{Reader: strings.NewReader("secret")}
		_, err := send(t, tr, p.url(), body)
		var d *client.DeniedError
		if !errors.As(err, &d) {
			t.Errorf("got %v", err)
		}
		if body.closed.Load() != 1 {
			t.Errorf("the body was closed %d times", body.closed.Load())
		}
	}
	if p.answers.Load() != 0 || p.asked.Load() != 2 {
		t.Errorf("%d requests arrived after %d verifications", p.answers.Load(), p.asked.Load())
	}
}

// TestRevision swaps the app between verification and request.
func TestRevision(t *testing.T) {
	p := newProvider(t)
	tr := newTransport(t, p.verifier(t))
	_, err := send(t, tr, p.url(), nil)
	check(t, err)
	old := p.manifest.String()
	p.set(func(p *provider) { p.manifest = manifest.DigestOf([]byte("revision 2")) })
	_, err = send(t, tr, p.url(), strings.NewReader("secret"))
	var revision *client.RevisionError
	if !errors.As(err, &revision) || revision.Expected != old || !strings.Contains(revision.Detail, p.manifest.String()) {
		t.Fatalf("got %v", err)
	}
	if status.CodeOf(err) != status.Conflict || p.got.Load() != 0 {
		t.Errorf("got %v; the app read %d bytes", status.CodeOf(err), p.got.Load())
	}
	// The next request knows the new one.
	got, err := send(t, tr, p.url(), nil)
	check(t, err)
	if got != p.manifest.String() {
		t.Errorf("got %q", got)
	}
}

// TestRevisionPinned: a new revision is not what a pinned manifest allows.
func TestRevisionPinned(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t)
	pinned := p.manifest
	v.Expect.Manifest = &pinned
	tr := newTransport(t, v)
	_, err := send(t, tr, p.url(), nil)
	check(t, err)
	p.set(func(p *provider) { p.manifest = manifest.DigestOf([]byte("revision 2")) })
	if _, err = send(t, tr, p.url(), nil); status.CodeOf(err) != status.Conflict {
		t.Errorf("got %v", err)
	}
	var d *client.DeniedError
	if _, err = send(t, tr, p.url(), nil); !errors.As(err, &d) {
		t.Errorf("got %v", err)
	}
}

// TestKeyChanges: the machine behind the name is another one. The request goes
// to it after it was verified too, body and all.
func TestKeyChanges(t *testing.T) {
	p := newProvider(t)
	tr := newTransport(t, p.verifier(t))
	_, err := send(t, tr, p.url(), nil)
	check(t, err)
	p.rekey(t)
	tr.CloseIdleConnections()
	body := &closer{Reader: strings.NewReader("secret")}
	_, err = send(t, tr, p.url(), body)
	check(t, err)
	if p.got.Load() != 6 || p.asked.Load() != 2 || body.closed.Load() != 1 {
		t.Errorf("%d bytes after %d verifications; the body was closed %d times", p.got.Load(), p.asked.Load(), body.closed.Load())
	}
}

// TestManInTheMiddleLater takes the name over after the verification.
func TestManInTheMiddleLater(t *testing.T) {
	p, mallory := newProvider(t), newProvider(t)
	v := p.verifier(t)
	v.Base = &http.Transport{}
	var target atomic.Pointer[provider]
	target.Store(p)
	v.Base.DialContext = dialTo(&target)
	tr := newTransport(t, v)
	_, err := send(t, tr, "https://"+host, nil)
	check(t, err)
	// He has genuine evidence, of the honest machine, and another key.
	mallory.set(func(m *provider) {
		m.document, m.claims = nil, nil
		m.tlsKey = p.tlsKey
	})
	target.Store(mallory)
	tr.CloseIdleConnections()
	_, err = send(t, tr, "https://"+host, strings.NewReader("secret"))
	var d *client.DeniedError
	if !errors.As(err, &d) || mallory.answers.Load() != 0 || mallory.got.Load() != 0 {
		t.Errorf("got %v; he read %d bytes", err, mallory.got.Load())
	}
}

// TestSingleFlight: a crowd makes one verification.
func TestSingleFlight(t *testing.T) {
	p := newProvider(t)
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	p.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) {
			p.asked.Add(1)
			arrived <- struct{}{}
			<-release
			b, err := p.evidence(r)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(b)
		}
	})
	var reports atomic.Int64
	tr := client.NewTransport(p.verifier(t), client.TransportOptions{Verified: func(r *client.Report, err error) {
		if err == nil && r.Verdict.Affirmed {
			reports.Add(1)
		}
	}})
	defer tr.CloseIdleConnections()
	// One of them leaves before the end, which must not end it for the others.
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(), nil)
		if err == nil {
			_, err = tr.RoundTrip(req)
		}
		left <- err
	}()
	<-arrived
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			if _, err := send(t, tr, p.url(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// With nobody left it may have ended and begun anew: then that one arrives.
	close(release)
	for done := wait(&crowd); ; {
		select {
		case <-arrived:
			continue
		case <-done:
		}
		break
	}
	if n := p.asked.Load(); n > 2 || reports.Load() != 1 {
		t.Errorf("%d verifications, %d reports for 20 requests", n, reports.Load())
	}
}

func wait(g *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	return done
}

// TestAllLeave ends a verification that nobody waits for.
func TestAllLeave(t *testing.T) {
	p := newProvider(t)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	p.set(func(p *provider) {
		p.answer = func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			close(ended)
		}
	})
	tr := newTransport(t, p.verifier(t))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(), nil)
	check(t, err)
	if _, err = tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

// TestUnbindable refuses requests whose bytes would go where evidence says
// nothing.
func TestUnbindable(t *testing.T) {
	p := newProvider(t)
	plain := plainServer(t, p)
	v := p.verifier(t)
	tr := newTransport(t, v)
	if _, err := send(t, tr, plain, strings.NewReader("secret")); status.ReasonOf(err) != "client.plain" {
		t.Errorf("http: got %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url(), nil)
	check(t, err)
	req.Host = "other.localhost"
	if _, err := tr.RoundTrip(req); status.ReasonOf(err) != "client.host" {
		t.Errorf("host: got %v", err)
	}
	if _, err := tr.RoundTrip(&http.Request{}); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("no url: got %v", err)
	}
	if p.asked.Load() != 0 || p.answers.Load() != 0 {
		t.Error("something was sent")
	}
	local := client.NewTransport(v, client.TransportOptions{AllowHTTP: true})
	defer local.CloseIdleConnections()
	if _, err := send(t, local, plain, nil); err != nil {
		t.Errorf("http, allowed: got %v", err)
	}
}

// TestRedirectElsewhere: a client follows a redirect, and verifies there, too.
func TestRedirectElsewhere(t *testing.T) {
	p, unknown := newProvider(t), newProvider(t)
	unknown.set(func(u *provider) { u.manifest = manifest.DigestOf([]byte("something else")) })
	v := p.verifier(t)
	v.Expect.Manifest = &p.manifest
	first := http.NewServeMux()
	first.Handle("/.well-known/", p)
	first.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, unknown.url(), http.StatusTemporaryRedirect)
	})
	p.Config.Handler = first
	tr := newTransport(t, v)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url(), nil)
	check(t, err)
	resp, err := (&http.Client{Transport: tr}).Do(req)
	var d *client.DeniedError
	if !errors.As(err, &d) || unknown.answers.Load() != 0 {
		t.Errorf("got %v, %v", resp, err)
	}
}

// TestOneConnection: what was verified and what is sent go to one key, and
// requests share connections.
func TestOneConnection(t *testing.T) {
	p := newProvider(t)
	tr := newTransport(t, p.verifier(t))
	var reused int
	for range 3 {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if i.Reused {
				reused++
			}
		}})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(), nil)
		check(t, err)
		resp, err := tr.RoundTrip(req)
		check(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		check(t, resp.Body.Close())
	}
	if reused != 2 {
		t.Errorf("%d requests of 3 reused a connection", reused)
	}
}

// closer counts how often a body is closed.
type closer struct {
	io.Reader
	closed atomic.Int64
}

func (c *closer) Close() error { c.closed.Add(1); return nil }
