package providerd

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider/auth"
)

const (
	// maxTCPConns bounds the connections of all TCP addresses of the API together,
	// maxSocketConns those of each socket: every one costs a goroutine, a file and
	// up to 32 KiB of header. They are counted apart, so that strangers who hold all
	// of the first do not keep the operator from the second.
	maxTCPConns    = 2048
	maxSocketConns = 256
	// spareConns come on top of either. They answer GET /health and nothing else,
	// so that a flood does not look like a provider that is down, and end after
	// spareTime, so that nobody can hold them.
	spareConns = 16
	spareTime  = 5 * time.Second
)

// crowd counts the connections of listeners.
type crowd struct {
	most, spare int64
	open        atomic.Int64
}

func newCrowd(most int64) *crowd { return &crowd{most: most, spare: spareConns} }

// crowdedListener closes connections over the limit.
type crowdedListener struct {
	net.Listener
	crowd *crowd
}

// Accept returns the next connection that there is room for.
func (l *crowdedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		n := l.crowd.open.Add(1)
		if n > l.crowd.most+l.crowd.spare {
			l.crowd.open.Add(-1)
			_ = conn.Close() // refused
			continue
		}
		c := &crowdedConn{Conn: conn, crowd: l.crowd}
		if n > l.crowd.most {
			c.until = time.Now().Add(spareTime)
			_ = conn.SetDeadline(c.until) // one that is gone fails in its first read
		}
		return c, nil
	}
}

// crowdedConn is counted until it is closed.
type crowdedConn struct {
	net.Conn
	crowd *crowd
	once  sync.Once
	// until is when a spare connection ends; zero for any other.
	until time.Time
}

// Close is counted once.
func (c *crowdedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.crowd.open.Add(-1) })
	return err
}

// SetDeadline does not lengthen the time of a spare connection; nor do the next two.
func (c *crowdedConn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.atMost(t)) }

// SetReadDeadline is as [net.Conn] has it.
func (c *crowdedConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.atMost(t)) }

// SetWriteDeadline is as [net.Conn] has it.
func (c *crowdedConn) SetWriteDeadline(t time.Time) error {
	return c.Conn.SetWriteDeadline(c.atMost(t))
}

func (c *crowdedConn) atMost(t time.Time) time.Time {
	if !c.until.IsZero() && (t.IsZero() || t.After(c.until)) {
		return c.until
	}
	return t
}

// CloseWrite lets net/http end an answer before the caller's body was read.
func (c *crowdedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

type spareKey struct{}

// bound makes a server serve at most a crowd on a listener. The peer of a socket
// is asked of the connection itself: a wrapped one is a stranger's.
func (w *crowd) bound(srv *http.Server, l net.Listener) (*http.Server, net.Listener) {
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if own, ok := c.(*crowdedConn); ok {
			if c = own.Conn; !own.until.IsZero() {
				ctx = context.WithValue(ctx, spareKey{}, true)
			}
		}
		return auth.ConnContext(ctx, c)
	}
	all := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spare, _ := r.Context().Value(spareKey{}).(bool); spare {
			w.Header().Set("Connection", "close")
			if r.URL.Path != "/health" {
				problem.Write(w, r, status.New(status.Unavailable, "api.busy", "too many connections are open").WithRetryAfter(spareTime))
				return
			}
		}
		all.ServeHTTP(w, r)
	})
	return srv, &crowdedListener{Listener: l, crowd: w}
}
