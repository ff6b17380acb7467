package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A replica that accepts nothing is passed over, also for a body that can be
// sent only once.
func TestReplicas(t *testing.T) {
	i := run(t, nil)
	echo := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, name)
			_, _ = io.Copy(w, r.Body)
		})
	}
	port := backend(t, "127.0.0.1", 0, echo("a"))
	backend(t, "127.0.0.2", port, echo("b"))
	endpoints := assign(t, i, app(httpPort(port)))
	publish(t, i, endpoints, "127.0.0.1", "127.0.0.2")
	c := client(t, i, false)
	var seen strings.Builder
	for range 4 {
		_, body, _ := get(t, c, endpoints[0].URL)
		seen.WriteString(body)
	}
	if seen.String() != "abab" && seen.String() != "baba" {
		t.Errorf("replicas answered %s, want them in turn", &seen)
	}
	publish(t, i, endpoints, "127.0.0.3", "127.0.0.2")
	for range 4 {
		res, err := c.Post(endpoints[0].URL, "text/plain", io.LimitReader(strings.NewReader("-body"), 100))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(body) != "b-body" {
			t.Errorf("got %d %q, %v, want b-body", res.StatusCode, body, err)
		}
	}
}

// Backends are replaced again and again under load, each old one is stopped
// after its last answer: no request is lost.
func TestSwitchWithoutLoss(t *testing.T) {
	i := run(t, nil)
	first := backend(t, "127.0.0.1", 0, text("0"))
	endpoints := assign(t, i, app(httpPort(first)))
	publish(t, i, endpoints, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	var clients, servers sync.WaitGroup
	var served atomic.Int64
	for n := range 8 {
		c := client(t, i, n%2 == 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequest(http.MethodPost, endpoints[0].URL, strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				res, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK || err != nil {
					t.Errorf("lost a request: %d, %v", res.StatusCode, err)
				}
				served.Add(1)
			}
		})
	}
	var old *http.Server
	for n := range 10 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:%d", n+1, first))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: text(fmt.Sprint(n))}
		servers.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		publish(t, i, endpoints, fmt.Sprintf("127.0.1.%d", n+1))
		if old != nil {
			if err := old.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		old = server
		for goal := served.Load() + 50; served.Load() < goal && !t.Failed(); {
			get(t, client(t, i, false), endpoints[0].URL)
		}
	}
	cancel()
	clients.Wait()
	if err := old.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	servers.Wait()
}
