package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"apocryph/attest"
	"apocryph/proto/problem"
	"apocryph/proto/status"
)

const (
	// dialTimeout and handshakeTimeout bound the parts of a connection that Base
	// leaves open.
	dialTimeout      = 15 * time.Second
	handshakeTimeout = 15 * time.Second
	// maxHeader bounds an answer's header in bytes, against one that never ends.
	maxHeader = 64 << 10
)

// conn asks one origin, over connections that all end at one key.
type conn struct {
	origin    origin
	transport *http.Transport

	mu  sync.Mutex
	key []byte
}

// open prepares a conn; nothing is dialled yet.
func (v *Verifier) open(o origin) *conn {
	x := &conn{origin: o}
	x.transport = v.transport(x.meet)
	// Its size is what is bounded, not what it unpacks to.
	x.transport.DisableCompression = true
	return x
}

func (x *conn) close() { x.transport.CloseIdleConnections() }

// meet takes the first key and no other one after it.
func (x *conn) meet(key []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.key == nil {
		x.key = key
	}
	if !bytes.Equal(x.key, key) {
		return &keyError{got: key, want: x.key}
	}
	return nil
}

// peerKey is nil where there was no TLS.
func (x *conn) peerKey() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.key
}

// keyError is a handshake with another key than the one expected.
type keyError struct{ got, want []byte }

func (e *keyError) Error() string {
	return fmt.Sprintf("the connection's key is %s, want %s", hex.EncodeToString(e.got), hex.EncodeToString(e.want))
}

// transport returns Base with TLS that asks meet, and nobody else, whether a
// key will do. The handshake itself shows that the other end has it.
func (v *Verifier) transport(meet func(key []byte) error) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	if v.Base != nil {
		t = v.Base.Clone()
	}
	if t.DialContext == nil {
		t.DialContext = dialLocal
	}
	if t.TLSHandshakeTimeout == 0 {
		t.TLSHandshakeTimeout = handshakeTimeout
	}
	if t.MaxResponseHeaderBytes == 0 {
		t.MaxResponseHeaderBytes = maxHeader
	}
	// Other ways to make a connection would go past meet.
	t.DialTLSContext = nil
	//lint:ignore SA1019 it is cleared, not used
	t.DialTLS = nil
	cfg := t.TLSClientConfig
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion, cfg.ServerName, cfg.ClientSessionCache, cfg.VerifyPeerCertificate = tls.VersionTLS13, "", nil, nil
	cfg.EncryptedClientHelloConfigList = nil
	cfg.InsecureSkipVerify = true // whose key it is, the evidence says
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("a connection without certificate")
		}
		sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
		return meet(sum[:])
	}
	t.TLSClientConfig = cfg
	return t
}

// dialLocal dials, names of this machine without asking a resolver.
func dialLocal(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && isLocal(host) {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
}

func (x *conn) get(ctx context.Context, nonce [attest.NonceSize]byte) ([]byte, error) {
	return x.do(ctx, http.MethodGet, "?nonce="+hex.EncodeToString(nonce[:]), nil)
}

func (x *conn) activate(ctx context.Context, a attest.Activate) (proof [32]byte, err error) {
	body, err := a.Encode()
	if err != nil {
		return proof, err
	}
	answer, err := x.do(ctx, http.MethodPost, "", body)
	if err != nil {
		return proof, err
	}
	got, err := attest.DecodeActivated(answer)
	if err != nil {
		return proof, status.Wrap(err, status.Untrusted, "attest.activation", "the answer to the activation is malformed")
	}
	return got.Proof, nil
}

// do returns at most one byte more than an answer may have: whoever reads it
// sees that it is too long.
func (x *conn) do(ctx context.Context, method, query string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, x.origin.String()+attest.EndpointPath+query, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking for evidence: %w", err)
	}
	req.Header.Set("Accept", attest.EndpointType+", "+problem.ContentType)
	if body != nil {
		req.Header.Set("Content-Type", attest.EndpointType)
	}
	resp, err := x.transport.RoundTrip(req)
	if err != nil {
		return nil, x.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, x.refusal(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, attest.MaxEndpoint+1))
	if err != nil {
		return nil, x.unreachable(ctx, err)
	}
	return b, nil
}

func (x *conn) unreachable(ctx context.Context, cause error) error {
	var other *keyError
	switch {
	case errors.As(cause, &other):
		return status.Wrap(cause, status.Untrusted, "client.key", "%s changed its TLS key during the verification", x.origin)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.Wrap(cause, status.DeadlineExceeded, "client.timeout", "%s took too long to show evidence", x.origin)
	case ctx.Err() != nil:
		return status.Wrap(cause, status.Canceled, "canceled", "asking %s for evidence was broken off", x.origin)
	}
	return status.Wrap(cause, status.Unavailable, "client.unreachable", "%s cannot be asked for evidence: %v", x.origin, cause)
}

// refusal is what an answer without evidence means. A redirect is not followed:
// it would be another machine's evidence, and this one would be used.
func (x *conn) refusal(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return status.New(status.Untrusted, "client.redirect", "%s answers with a redirect instead of evidence", x.origin).
			WithHint("verify the address that it leads to, if that is the one you mean to use")
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		e := status.Public(problem.Read(resp))
		return status.New(status.Unavailable, "client.busy", "%s shows no evidence now: HTTP %d: %s", x.origin, code, e.Detail).WithRetryAfter(e.RetryAfter)
	default:
		e := status.Public(problem.Read(resp))
		return status.New(status.Untrusted, "client.no_evidence", "%s has no evidence to show: HTTP %d: %s", x.origin, code, e.Detail).
			WithHint("is this the host name of an app that runs at a provider?")
	}
}
