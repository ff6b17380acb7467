package ingress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"apocryph/manifest"
	"apocryph/provider"
)

// tcpBackend reads all that a client sends, and answers only after its end.
func tcpBackend(t *testing.T, ip string, port uint16) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr(ip), port).String())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				all, err := io.ReadAll(conn)
				if err != nil {
					return
				}
				_, _ = conn.Write(append([]byte(ip+":"), all...))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// ask sends, closes its half, and returns all of the answer.
func ask(t *testing.T, addr, message string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, message); err != nil {
		return ""
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	all, _ := io.ReadAll(conn) // a reset is no answer
	return string(all)
}

func tcpPort(target uint16) manifest.Port {
	return manifest.Port{TargetPort: target, Protocol: manifest.TCP, HostIP: "127.0.0.1"}
}

func TestTCPPort(t *testing.T) {
	i := run(t, nil)
	target := tcpBackend(t, "127.0.0.1", 0)
	tcpBackend(t, "127.0.0.2", target)
	endpoints := assign(t, i, app(tcpPort(target)))
	addr := endpoints[0].Dial
	publish(t, i, endpoints)
	if got := ask(t, addr, "x"); got != "" {
		t.Errorf("without a backend: %q", got)
	}
	publish(t, i, endpoints, "127.0.0.1")
	big := string(bytes.Repeat([]byte("y"), 1<<20))
	if got := ask(t, addr, big); got != "127.0.0.1:"+big {
		t.Errorf("%d bytes came back", len(got))
	}
	publish(t, i, endpoints, "127.0.0.3", "127.0.0.2")
	for range 3 {
		if got := ask(t, addr, "x"); got != "127.0.0.2:x" {
			t.Errorf("got %q, want the replica that accepts connections", got)
		}
	}
	// A connection that is open stays where it is when backends change, and
	// ends when the port is given up.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	publish(t, i, nil, "127.0.0.1")
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a port that is gone", n)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
}

func TestOpenConnectionStays(t *testing.T) {
	i := run(t, nil)
	target := tcpBackend(t, "127.0.0.1", 0)
	tcpBackend(t, "127.0.0.2", target)
	endpoints := assign(t, i, app(tcpPort(target)))
	publish(t, i, endpoints, "127.0.0.1")
	var conns [2]net.Conn
	for n := range conns {
		conn, err := net.Dial("tcp", endpoints[0].Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns[n] = conn
	}
	// The first connection is passed on when the second one, which came later
	// to the same listener, has its backend too.
	if _, err := io.WriteString(conns[0], "a"); err != nil {
		t.Fatal(err)
	}
	m := only(i)
	waitConns(t, m, 4)
	publish(t, i, endpoints, "127.0.0.2")
	for n, conn := range conns {
		_ = conn.(*net.TCPConn).CloseWrite()
		all, err := io.ReadAll(conn)
		if want := []string{"127.0.0.1:a", "127.0.0.1:"}[n]; err != nil || string(all) != want {
			t.Errorf("connection %d: %q, %v, want %q", n, all, err, want)
		}
	}
}

func only(i *Ingress) *mapping {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, m := range i.pods[podID].mappings {
		return m
	}
	return nil
}

// waitConns polls until a mapping has so many connections, both sides counted.
func waitConns(t *testing.T, m *mapping, want int) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		m.mu.Lock()
		got := len(m.conns)
		m.mu.Unlock()
		if got == want {
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("%d connections, want %d", got, want)
		}
	}
}

func TestPortsBeforeRun(t *testing.T) {
	target := tcpBackend(t, "127.0.0.1", 0)
	cfg := testConfig()
	cfg.Listen = "127.0.0.1:0"
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	held := []provider.Endpoint{{Container: "web", Target: target, Protocol: manifest.TCP, Port: 32500, HostIP: "127.0.0.1"}}
	publish(t, i, held, "127.0.0.1")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	if got := ask(t, "127.0.0.1:32500", "x"); got != "127.0.0.1:x" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := i.Publish(podID, held, nil); err == nil {
		t.Error("published after the end")
	}
}

func udpBackend(t *testing.T, ip string, port uint16) uint16 {
	t.Helper()
	conn, err := net.ListenPacket("udp", netip.AddrPortFrom(netip.MustParseAddr(ip), port).String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(append([]byte(ip+":"), buf[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
}

func TestUDPPort(t *testing.T) {
	i := run(t, nil)
	target := udpBackend(t, "127.0.0.1", 0)
	udpBackend(t, "127.0.0.2", target)
	port := tcpPort(target)
	port.Protocol = manifest.UDP
	endpoints := assign(t, i, app(port))
	publish(t, i, endpoints, "127.0.0.1")
	exchange := func(conn net.Conn, message, want string) {
		t.Helper()
		if _, err := io.WriteString(conn, message); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, maxDatagram)
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("got %d bytes %.40q, %v, want %.40q", n, buf[:n], err, want)
		}
	}
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("udp", endpoints[0].Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
	}
	big := string(bytes.Repeat([]byte("z"), 60_000))
	for range 2 {
		for _, conn := range conns {
			exchange(conn, "x", "127.0.0.1:x")
			exchange(conn, big, "127.0.0.1:"+big)
		}
	}
	m := only(i)
	m.mu.Lock()
	if len(m.sessions) != 3 {
		t.Errorf("%d sessions for 3 clients", len(m.sessions))
	}
	var ended []*session
	for _, s := range m.sessions {
		ended = append(ended, s)
	}
	m.mu.Unlock()
	// Sessions with a backend that is gone end; the client's next packets go to the new one.
	publish(t, i, endpoints, "127.0.0.2")
	for _, s := range ended {
		waitSessionGone(t, m, s)
	}
	for _, conn := range conns {
		exchange(conn, "x", "127.0.0.2:x")
	}
}

func waitSessionGone(t *testing.T, m *mapping, s *session) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		found := false
		m.mu.Lock()
		for _, have := range m.sessions {
			found = found || have == s
		}
		m.mu.Unlock()
		if !found {
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("session did not end")
		}
	}
}

func TestSessionExpiry(t *testing.T) {
	var s session
	now := time.Now()
	s.last.Store(now.UnixNano())
	if got := s.expiry().Sub(now); got.Round(time.Millisecond) != firstIdle {
		t.Errorf("unanswered session is kept for %v", got)
	}
	s.answered.Store(true)
	if got := s.expiry().Sub(now); got.Round(time.Millisecond) != replyIdle {
		t.Errorf("answered session is kept for %v", got)
	}
}

func TestLimiter(t *testing.T) {
	addr := func(s string) netip.Addr {
		return sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)))
	}
	if addr("[2001:db8::1]:1") != addr("[2001:db8::ffff]:2") || addr("[2001:db8::1]:1") == addr("[2001:db8:0:1::1]:1") {
		t.Error("an IPv6 source is not a /64")
	}
	if addr("[::ffff:192.0.2.1]:1") != addr("192.0.2.1:2") || addr("192.0.2.1:1") == addr("192.0.2.2:1") {
		t.Error("an IPv4 source is not an address")
	}
	if addr("127.0.0.1:1").IsValid() || addr("[::1]:1").IsValid() {
		t.Error("loopback is limited")
	}
	l := newLimiter(5, 2)
	a, b, local := addr("192.0.2.1:1"), addr("192.0.2.2:1"), addr("127.0.0.1:1")
	for n, step := range []struct {
		source netip.Addr
		want   bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {local, true}, {local, true}, {b, false}, {local, false}} {
		if got := l.acquire(step.source); got != step.want {
			t.Errorf("step %d: %v, want %v", n, got, step.want)
		}
	}
	for _, source := range []netip.Addr{a, a, b, local, local} {
		l.release(source)
	}
	if l.total != 0 || len(l.source) != 0 {
		t.Errorf("left %d, %v", l.total, l.source)
	}
}

// Connections over the limit are closed, and make room when others end.
func TestConnectionLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGuardedListener(inner, newLimiter(1, 1), testConfigLog())
	defer func() { _ = g.Close() }()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first, second := dial(), dial()
	defer func() { _ = first.Close() }()
	accepted, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan net.Conn, 1)
	go func() {
		conn, err := g.Accept()
		if err != nil {
			t.Error(err)
		}
		next <- conn
	}()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a connection over the limit was served")
	}
	_ = second.Close()
	if err := accepted.Close(); err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close() // counted once
	third := dial()
	defer func() { _ = third.Close() }()
	g.closeAll()
	_ = (<-next).Close()
	if g.limit.total != 0 || len(g.conns) != 0 {
		t.Errorf("left %d, %d", g.limit.total, len(g.conns))
	}
}
