package ingress

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"apocryph/manifest"
	"apocryph/provider"
)

// TestDrain waits for a response that is being streamed and for a TCP
// connection, both to a backend that was replaced, and for nothing that is new.
func TestDrain(t *testing.T) {
	i := run(t, nil)
	more := make(chan struct{})
	web := backend(t, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a")
		w.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(w, "b")
	}))
	backend(t, "127.0.0.2", web, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-more
	}))
	tcp := tcpBackend(t, "127.0.0.1", 0)
	tcpBackend(t, "127.0.0.2", tcp)
	m := app(httpPort(web), tcpPort(tcp))
	endpoints := assign(t, i, m)
	publish(t, i, endpoints, "127.0.0.1")

	get := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = shopHost
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	old := get()
	dial := ""
	for _, e := range endpoints {
		if e.Protocol == manifest.TCP {
			dial = e.Dial
		}
	}
	conn, err := net.Dial("tcp", dial)
	if err != nil {
		t.Fatal(err)
	}
	waitConns(t, only(i), 2)
	publish(t, i, endpoints, "127.0.0.2")
	current := get()
	defer func() { _ = current.Body.Close() }()

	drain := func(id provider.PodID) chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			i.Drain(t.Context(), id)
		}()
		return done
	}
	<-drain("unknown")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	i.Drain(ended, podID) // bounded by its context
	done := drain(podID)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	select {
	case <-done:
		t.Fatal("a response is being streamed")
	default:
	}
	close(more)
	if body, err := io.ReadAll(old.Body); err != nil || string(body) != "ab" {
		t.Errorf("got %q, %v", body, err)
	}
	_ = old.Body.Close()
	<-done
}
