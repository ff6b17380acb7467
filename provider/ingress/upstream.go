package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dialTimeout bounds connecting to a backend, which is on this machine.
	dialTimeout = 3 * time.Second
	// probeTimeout bounds waiting for a backend's HTTP/2 settings.
	probeTimeout = 500 * time.Millisecond
	// maxIdleConns bounds the idle connections to one backend.
	maxIdleConns = 64
)

// errRefused marks an error from before a connection existed: nothing was sent.
var errRefused = errors.New("backend does not accept connections")

// dial connects to a backend. The address is an instance's own.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, errors.Join(errRefused, err)
	}
	return conn, nil
}

// upstream is one published set of replicas with its own connections.
type upstream struct {
	backends []netip.Addr
	// runs is what each of them runs.
	runs   map[netip.Addr]digests
	next   atomic.Uint32
	h1, h2 *http.Transport
	// unsent counts requests that have no response header yet; it is closed
	// when the upstream is replaced.
	unsent gate
	// trips counts requests until they have ended.
	trips   gate
	retired atomic.Bool

	mu     sync.Mutex // guards speaks
	speaks map[netip.AddrPort]bool
}

func newUpstream(backends []netip.Addr, runs map[netip.Addr]digests) *upstream {
	transport := func() *http.Transport {
		return &http.Transport{
			DialContext:            dial,
			Protocols:              new(http.Protocols),
			DisableCompression:     true, // bodies pass as they are
			MaxIdleConnsPerHost:    maxIdleConns,
			IdleConnTimeout:        idleTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: maxHeader,
		}
	}
	u := &upstream{backends: backends, runs: runs, h1: transport(), h2: transport(), speaks: map[netip.AddrPort]bool{}}
	u.h1.Protocols.SetHTTP1(true)
	u.h2.Protocols.SetUnencryptedHTTP2(true)
	return u
}

// retire lets no further request in. The channel is closed when every request
// that came in has been answered, if only by its header.
func (u *upstream) retire() <-chan struct{} {
	u.retired.Store(true)
	u.closeIdle()
	return u.unsent.close()
}

func (u *upstream) closeIdle() {
	u.h1.CloseIdleConnections()
	u.h2.CloseIdleConnections()
}

// turn is the next backends to try, at most two, in turn.
func turn(next *atomic.Uint32, backends []netip.Addr) []netip.Addr {
	if len(backends) < 2 {
		return backends
	}
	n := int(next.Add(1)-1) % len(backends)
	return []netip.Addr{backends[n], backends[(n+1)%len(backends)]}
}

// speaksHTTP2 finds out once whether a backend speaks HTTP/2 without TLS: it
// must send its SETTINGS first (RFC 9113, 3.4). A backend that refuses the
// connection is asked again next time.
func (u *upstream) speaksHTTP2(ctx context.Context, backend netip.AddrPort) bool {
	u.mu.Lock()
	known, asked := u.speaks[backend]
	u.mu.Unlock()
	if asked {
		return known
	}
	conn, err := dial(ctx, "tcp", backend.String())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // only looked at
	// Preface, then empty SETTINGS: length 0, type 4, flags 0, stream 0.
	const hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	var header [9]byte
	err = conn.SetDeadline(time.Now().Add(probeTimeout))
	if err == nil {
		_, err = io.WriteString(conn, hello)
	}
	if err == nil {
		_, err = io.ReadFull(conn, header[:])
	}
	// SETTINGS on stream 0, not an acknowledgement. "HTTP/1.1 " has 'P' there.
	speaks := err == nil && header[3] == 4 && header[4] == 0 && [4]byte(header[5:]) == [4]byte{}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.speaks[backend] = speaks
	return speaks
}

// send sends a request to a replica, and to another one when the first accepts
// no connection; never to one that does not run what is expected.
func (u *upstream) send(r *route, expect expected, req *http.Request) (*http.Response, error) {
	backends := turn(&u.next, u.backends)
	if len(backends) == 0 {
		closeBody(req)
		return nil, errRefused
	}
	// The transport closes the body even when it sent nothing of it.
	body := req.Body
	var err error
	for _, addr := range backends {
		if err = expect.met(u.runs[addr]); err != nil {
			break
		}
		backend := netip.AddrPortFrom(addr, r.target)
		attempt := req.Clone(req.Context())
		if body != nil && body != http.NoBody {
			attempt.Body = io.NopCloser(body)
		}
		attempt.URL.Host = backend.String()
		var res *http.Response
		if res, err = u.transport(attempt, backend).RoundTrip(attempt); err == nil {
			return res, nil
		}
		if !errors.Is(err, errRefused) || req.Context().Err() != nil {
			break
		}
	}
	closeBody(req)
	return nil, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // the request has failed already
	}
}

// transport chooses the version: what the client speaks where the backend does
// too. gRPC has no other than HTTP/2.
func (u *upstream) transport(req *http.Request, backend netip.AddrPort) *http.Transport {
	if req.ProtoMajor != 2 {
		return u.h1
	}
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc") || u.speaksHTTP2(req.Context(), backend) {
		return u.h2
	}
	return u.h1
}

// dialAny connects to one of the backends of a mapped port.
func dialAny(ctx context.Context, network string, backends []netip.Addr, target uint16) (net.Conn, error) {
	err := errRefused
	for _, addr := range backends {
		var conn net.Conn
		if conn, err = dial(ctx, network, net.JoinHostPort(addr.String(), strconv.Itoa(int(target)))); err == nil {
			return conn, nil
		}
	}
	return nil, err
}
