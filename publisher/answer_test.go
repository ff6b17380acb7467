package publisher_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// served is an endpoint that answers with h, under a name that no resolver knows.
func served(t *testing.T, h http.HandlerFunc) publisher.Endpoint {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return publisher.Endpoint{Container: "web", Protocol: manifest.HTTP, URL: "http://app.invalid:" + port + "/", Dial: s.Listener.Addr().String()}
}

// TestAnswer waits until the app answers, and takes what the ingress answers
// itself for no answer.
func TestAnswer(t *testing.T) {
	var asked atomic.Int32
	var host atomic.Value
	web := served(t, func(rw http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		if asked.Add(1) < 4 {
			rw.Header().Set("Apocryph-Ingress", "it is starting")
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		// The app's own error is an answer.
		rw.WriteHeader(http.StatusBadGateway)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	w := newWorld(t)
	p := w.provider("p", func(f *fake) {
		f.endpoints = []publisher.Endpoint{
			{Container: "web", Protocol: manifest.UDP, URL: "udp://127.0.0.1:1", Dial: "127.0.0.1:1"},
			{Container: "web", Protocol: manifest.TCP, URL: "tcp://" + l.Addr().String(), Dial: l.Addr().String()},
			web,
		}
	})
	d, err := w.service().Deploy(t.Context(), w.request(to(p)))
	must(t, err)
	if asked.Load() != 4 || host.Load() != strings.TrimSuffix(strings.TrimPrefix(web.URL, "http://"), "/") {
		t.Errorf("asked %d times for %v", asked.Load(), host.Load())
	}
	if d.App.URL != web.URL {
		t.Errorf("the URL is %s", d.App.URL)
	}
}

// TestNoAnswer says what the ingress says.
func TestNoAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := publisher.Answers(ctx, served(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Apocryph-Ingress", "container web exited with code 1")
		rw.WriteHeader(http.StatusBadGateway)
	}), nil)
	refused(t, err, status.AppFailed, "app.unreachable")
	if !strings.Contains(err.Error(), "container web exited with code 1") {
		t.Errorf("got %v", err)
	}
}

// TestGivenUpBeforeTheAnswer: a caller that stops waiting has not seen the app
// fail, and the app is remembered.
func TestGivenUpBeforeTheAnswer(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := w.provider("p", func(f *fake) {
		f.endpoints = []publisher.Endpoint{served(t, func(rw http.ResponseWriter, _ *http.Request) {
			cancel()
			rw.Header().Set("Apocryph-Ingress", "it is starting")
			rw.WriteHeader(http.StatusBadGateway)
		})}
	})
	if _, err := w.service().Deploy(ctx, w.request(to(p))); !errors.Is(err, context.Canceled) || status.CodeOf(err) == status.AppFailed {
		t.Errorf("got %v", err)
	}
	if a := w.apps["app@p"]; a.Pending != nil || a.Revision != 1 {
		t.Errorf("remembered %+v", a)
	}
}
