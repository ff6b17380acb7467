package providerd

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"apocryph/provider/auth"
)

// served is a server that a crowd bounds; it answers with who the kernel says calls.
func served(t *testing.T, w *crowd, network, at string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	who, err := auth.New(auth.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv, bounded := w.bound(&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, err := who.Authenticate(r.Context(), r); err != nil || !p.Operator {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})}, l)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(bounded) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l.Addr()
}

// fill opens n connections that say nothing, and returns when they are counted.
func fill(t *testing.T, w *crowd, a net.Addr, n int) []net.Conn {
	t.Helper()
	var out []net.Conn
	for range n {
		c, err := net.Dial(a.Network(), a.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		out = append(out, c)
	}
	until(t, func() bool { return w.open.Load() >= min(int64(n), w.most+w.spare) })
	return out
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to that")
		}
	}
}

// TestCrowd: over the limit health is answered and nothing else, over the reserve
// nothing, and those who leave make room.
func TestCrowd(t *testing.T) {
	w := newCrowd(4)
	a := served(t, w, "tcp", "127.0.0.1:0")
	c := asks("tcp", a.String())
	if code, _ := ask(t, c, "GET", "/pods", "", ""); code != 401 {
		t.Errorf("got %d", code)
	}
	until(t, func() bool { return w.open.Load() == 0 })
	held := fill(t, w, a, 4)
	if code, _ := ask(t, c, "GET", "/health", "", ""); code == 503 {
		t.Error("health is not answered")
	}
	if code, b := ask(t, c, "GET", "/pods", "", ""); code != 503 {
		t.Errorf("got %d %s", code, b)
	}
	until(t, func() bool { return w.open.Load() == 4 })
	spare := fill(t, w, a, spareConns)
	if r, err := c.Get("http://provider/health"); err == nil {
		r.Body.Close()
		t.Error("the reserve has no end")
	}
	for _, conn := range append(held, spare...) {
		_ = conn.Close()
	}
	until(t, func() bool { return w.open.Load() == 0 })
	if code, _ := ask(t, c, "GET", "/pods", "", ""); code != 401 {
		t.Errorf("got %d", code)
	}
}

// TestSpareConnectionsEnd: nobody holds the reserve, whatever deadlines the server sets.
func TestSpareConnectionsEnd(t *testing.T) {
	past := time.Now()
	for name, use := range map[string]func(*crowdedConn, time.Time) error{
		"read": func(c *crowdedConn, at time.Time) error {
			_ = c.SetReadDeadline(at)
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"write": func(c *crowdedConn, at time.Time) error {
			_ = c.SetWriteDeadline(at)
			_, err := c.Write(make([]byte, 1))
			return err
		},
		"both": func(c *crowdedConn, at time.Time) error {
			_ = c.SetDeadline(at)
			_, err := c.Read(make([]byte, 1))
			return err
		},
	} {
		for _, at := range []time.Time{{}, past.Add(time.Hour)} {
			a, b := net.Pipe()
			if err := use(&crowdedConn{Conn: a, crowd: newCrowd(1), until: past}, at); err == nil {
				t.Errorf("%s: it goes on", name)
			}
			_, _ = a.Close(), b.Close()
		}
	}
	c := &crowdedConn{until: past}
	if got := c.atMost(c.until.Add(-time.Second)); !got.Before(c.until) {
		t.Error("a shorter time is lengthened")
	}
}

// TestCrowdKeepsPeers: a counted connection of a socket is still its peer's, also
// when strangers hold all of TCP.
func TestCrowdKeepsPeers(t *testing.T) {
	tcp := newCrowd(1)
	fill(t, tcp, served(t, tcp, "tcp", "127.0.0.1:0"), 1+spareConns)
	path := filepath.Join(shortDir(t), "s")
	served(t, newCrowd(1), "unix", path)
	if code, _ := ask(t, asks("unix", path), "GET", "/pods", "", ""); code != 200 {
		t.Errorf("the operator gets %d", code)
	}
}
