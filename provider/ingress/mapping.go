package ingress

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"apocryph/manifest"
)

// mapping is one external TCP or UDP port.
type mapping struct {
	log  *slog.Logger
	dest atomic.Pointer[dest]
	next atomic.Uint32

	tcp net.Listener
	// limit bounds connections or sessions.
	limit   *limiter
	udp     *net.UDPConn
	started sync.Once
	packets packets

	mu     sync.Mutex // guards what follows
	closed bool
	// conns are those of TCP, both sides; sessions those of UDP, by client.
	conns    map[net.Conn]struct{}
	sessions map[netip.AddrPort]*session
}

// dest is where a mapping leads. Where that is never changes.
type dest struct {
	target   uint16
	backends []netip.Addr
	// conns counts TCP connections; it is closed when the mapping leads elsewhere.
	conns gate
}

// newMapping binds a port. Nothing is accepted before start.
func (i *Ingress) newMapping(b binding) (*mapping, error) {
	m := &mapping{
		log: i.log.With("port", b.port, "protocol", string(b.protocol)), limit: i.conns,
		conns: map[net.Conn]struct{}{}, sessions: map[netip.AddrPort]*session{},
	}
	m.dest.Store(&dest{})
	addr := listenAddr(b.bind, b.port)
	if b.protocol == manifest.UDP {
		conn, err := net.ListenPacket("udp", addr)
		if err != nil {
			return nil, err
		}
		m.udp, m.limit = conn.(*net.UDPConn), i.sessions
		return m, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	m.tcp = listener
	return m, nil
}

// start serves a mapping until it is closed.
func (i *Ingress) start(m *mapping) {
	m.started.Do(func() {
		i.workers.Go(func() {
			var wg sync.WaitGroup
			defer wg.Wait()
			if m.udp != nil {
				m.serveUDP(&wg)
			} else {
				m.serveTCP(&wg)
			}
		})
	})
}

// aim points the mapping at other backends. TCP connections stay where they
// are, and what is returned is closed when they have ended; UDP has none, so
// sessions with a backend that is gone end.
func (m *mapping) aim(target uint16, backends []netip.Addr) <-chan struct{} {
	old := m.dest.Swap(&dest{target: target, backends: backends})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if !s.servedBy(target, backends) {
			s.close()
		}
	}
	return old.conns.close()
}

// close ends the mapping and its connections.
func (m *mapping) close() {
	if m.tcp != nil {
		_ = m.tcp.Close() // nothing to lose
	} else {
		_ = m.udp.Close() // nothing to lose
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for c := range m.conns {
		_ = c.Close() // the port is gone
	}
	for _, s := range m.sessions {
		s.close()
	}
}

// track remembers a connection for close; false when that has happened.
func (m *mapping) track(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

func (m *mapping) untrack(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
}

// acceptPause is waited when the process is out of file descriptors.
const acceptPause = 50 * time.Millisecond

func (m *mapping) serveTCP(wg *sync.WaitGroup) {
	for {
		client, err := m.tcp.Accept()
		if err != nil {
			m.mu.Lock()
			closed := m.closed
			m.mu.Unlock()
			if closed || isClosed(err) {
				return
			}
			m.log.Debug("accepting failed", "error", err)
			pause := time.NewTimer(acceptPause)
			<-pause.C
			continue
		}
		source := sourceOf(client.RemoteAddr())
		if !m.limit.acquire(source) {
			m.log.Debug("connection over the limit", "source", source.String())
			_ = client.Close() // refused
			continue
		}
		wg.Go(func() {
			defer m.limit.release(source)
			m.pipe(client)
		})
	}
}

// pipe joins a client to a backend until both directions have ended. Each end
// of a direction is passed on as a half-close, so that protocols which send
// everything, close, and then read work.
func (m *mapping) pipe(client net.Conn) {
	defer func() { _ = client.Close() }() // both directions have ended
	if !m.track(client) {
		return
	}
	defer m.untrack(client)
	d := m.dest.Load()
	for !d.conns.enter() {
		d = m.dest.Load()
	}
	defer d.conns.leave()
	backend, err := dialAny(context.Background(), "tcp", turn(&m.next, d.backends), d.target)
	if err != nil {
		m.log.Debug("backend does not accept connections", "error", err)
		return
	}
	defer func() { _ = backend.Close() }() // both directions have ended
	if !m.track(backend) {
		return
	}
	defer m.untrack(backend)
	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(backend, client) })
	copyHalf(client, backend)
	wg.Wait()
}

// copyHalf copies until src ends, then ends dst's half. After an error both
// are closed, which ends the other direction too.
func copyHalf(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		if half.CloseWrite() == nil {
			return
		}
	}
	_, _ = dst.Close(), src.Close() // broken already
}
