package ingress

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// limiter counts connections, in all and per source.
type limiter struct {
	max, perSource int

	mu     sync.Mutex // guards what follows
	total  int
	source map[netip.Addr]int
}

func newLimiter(limit, perSource int) *limiter {
	return &limiter{max: limit, perSource: perSource, source: map[netip.Addr]int{}}
}

// sourceOf is what counts as one client: an IPv4 address, or an IPv6 /64, which
// is what one subscriber has. The zero value is this machine, whose programs
// are the operator's own (a TLS terminator in front, for instance).
func sourceOf(remote net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.IsLoopback() {
		return netip.Addr{}
	}
	if addr.Is6() {
		prefix, err := addr.Prefix(64)
		if err != nil {
			return netip.Addr{}
		}
		return prefix.Addr()
	}
	return addr
}

func (l *limiter) acquire(source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.max || source.IsValid() && l.source[source] >= l.perSource {
		return false
	}
	l.total++
	l.source[source]++
	return true
}

func (l *limiter) release(source netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.source[source]--; l.source[source] == 0 {
		delete(l.source, source)
	}
}

// guardedListener closes connections over the limit, and remembers the others
// so that those which http.Server forgets (upgraded ones) can be closed too.
type guardedListener struct {
	net.Listener
	limit *limiter
	log   *slog.Logger

	mu    sync.Mutex // guards conns
	conns map[*guardedConn]struct{}
}

func newGuardedListener(l net.Listener, limit *limiter, log *slog.Logger) *guardedListener {
	return &guardedListener{Listener: l, limit: limit, log: log, conns: map[*guardedConn]struct{}{}}
}

// Accept returns the next connection that is within the limits.
func (g *guardedListener) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(conn.RemoteAddr())
		if !g.limit.acquire(source) {
			g.log.Debug("connection over the limit", "source", source.String())
			_ = conn.Close() // refused
			continue
		}
		guarded := &guardedConn{Conn: conn}
		guarded.release = func() {
			g.limit.release(source)
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.conns, guarded)
		}
		g.mu.Lock()
		g.conns[guarded] = struct{}{}
		g.mu.Unlock()
		return guarded, nil
	}
}

// closeAll closes every connection that is still open.
func (g *guardedListener) closeAll() {
	g.mu.Lock()
	open := make([]*guardedConn, 0, len(g.conns))
	for c := range g.conns {
		open = append(open, c)
	}
	g.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // on the way out
	}
}

// guardedConn gives up when a write is stuck.
type guardedConn struct {
	net.Conn
	release func()
	once    sync.Once
	// until is when reading ends for good, in Unix nanoseconds; 0 means never.
	until atomic.Int64
}

// linger lets the connection be read for d at most.
func (c *guardedConn) linger(d time.Duration) { c.until.Store(time.Now().Add(d).UnixNano()) }

// Read is bounded once the connection lingers, whatever deadline the server sets.
func (c *guardedConn) Read(b []byte) (int, error) {
	if until := c.until.Load(); until != 0 {
		if err := c.SetReadDeadline(time.Unix(0, until)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// Write fails when the peer takes nothing for the write timeout.
func (c *guardedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CloseWrite ends this side's half, for upgraded connections.
func (c *guardedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// Close is counted once.
func (c *guardedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
