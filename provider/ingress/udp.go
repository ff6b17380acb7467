package ingress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxSessions bounds the UDP clients of all ports (each costs a descriptor),
	// maxSessionsPerPort those of one port and maxSessionsPerSource those of one
	// address: a client may invent as many ports as it likes.
	maxSessions          = 8192
	maxSessionsPerPort   = 1024
	maxSessionsPerSource = 64
	// A session that was answered is kept for replyIdle after its last packet,
	// another one for firstIdle only: source addresses may be forged. The times
	// are those of Linux's connection tracking, shortened.
	replyIdle = 60 * time.Second
	firstIdle = 10 * time.Second
	// maxDatagram is the largest UDP payload in bytes.
	maxDatagram = 65535
)

// session joins one UDP client to one backend.
type session struct {
	conn    *net.UDPConn
	backend netip.AddrPort
	// last is when a packet went either way, in Unix nanoseconds.
	last     atomic.Int64
	answered atomic.Bool
}

func (s *session) touch() { s.last.Store(time.Now().UnixNano()) }

func (s *session) close() { _ = s.conn.Close() } // its reader ends

func (s *session) servedBy(target uint16, backends []netip.Addr) bool {
	return s.backend.Port() == target && slices.Contains(backends, s.backend.Addr())
}

// expiry is when the session ends unless a packet comes.
func (s *session) expiry() time.Time {
	idle := firstIdle
	if s.answered.Load() {
		idle = replyIdle
	}
	return time.Unix(0, s.last.Load()).Add(idle)
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

func (m *mapping) serveUDP(wg *sync.WaitGroup) {
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := m.udp.ReadFromUDPAddrPort(buf)
		if isClosed(err) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier packet
		}
		s := m.session(wg, client)
		if s == nil {
			continue
		}
		s.touch()
		if _, err := s.conn.Write(buf[:n]); err != nil {
			m.log.Debug("passing a packet failed", "error", err)
		}
	}
}

// session returns a client's session, or makes one. Packets over the bounds are
// dropped, as UDP may.
func (m *mapping) session(wg *sync.WaitGroup, client netip.AddrPort) *session {
	source := sourceOf(net.UDPAddrFromAddrPort(client))
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[client]; s != nil {
		return s
	}
	d := m.dest.Load()
	backends := turn(&m.next, d.backends)
	if m.closed || len(backends) == 0 {
		return nil
	}
	if len(m.sessions) >= maxSessionsPerPort || !m.limit.acquire(source) {
		m.log.Debug("session over the limit", "source", source.String())
		return nil
	}
	backend := netip.AddrPortFrom(backends[0], d.target)
	conn, err := dial(context.Background(), "udp", backend.String())
	if err != nil {
		m.limit.release(source)
		m.log.Debug("backend can't be reached", "error", err)
		return nil
	}
	s := &session{conn: conn.(*net.UDPConn), backend: backend}
	s.touch()
	m.sessions[client] = s
	wg.Go(func() {
		defer func() {
			s.close()
			m.limit.release(source)
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.sessions, client)
		}()
		m.reply(s, client)
	})
	return s
}

// reply passes a backend's packets to the client until the session is idle.
func (m *mapping) reply(s *session, client netip.AddrPort) {
	for {
		deadline := s.expiry()
		if !time.Now().Before(deadline) || s.conn.SetReadDeadline(deadline) != nil {
			return
		}
		err := m.packets.receive(s.conn, func(packet []byte) {
			s.answered.Store(true)
			s.touch()
			_, _ = m.udp.WriteToUDPAddrPort(packet, client) // lost, as UDP may
		})
		if isClosed(err) {
			return
		}
		// Else a timeout, or refused: the app may listen later.
	}
}

// packets holds buffers of [maxDatagram] bytes. A session takes one only while
// a packet is there: thousands of waiting ones would hold 64 KiB each.
type packets struct{ pool sync.Pool }

func (p *packets) get() *[maxDatagram]byte {
	if b, ok := p.pool.Get().(*[maxDatagram]byte); ok {
		return b
	}
	return new([maxDatagram]byte)
}

// receive waits for a packet, up to the connection's deadline.
func (p *packets) receive(conn *net.UDPConn, fn func([]byte)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) (done bool) {
		buf := p.get()
		defer p.pool.Put(buf)
		n, err := unix.Read(int(fd), buf[:])
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Read(int(fd), buf[:])
		}
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if readErr = err; err == nil {
			fn(buf[:n])
		}
		return true
	})
	if err != nil {
		return err
	}
	return readErr
}
