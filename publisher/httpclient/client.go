package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

const (
	// MaxToken bounds a token, in bytes: a header of 32 KiB is what servers read.
	MaxToken = 16 << 10

	// defaultIdle is four of the server's signs of life.
	defaultIdle = time.Minute
	// defaultPause is before the first repeat; it doubles up to maxPause.
	defaultPause = 250 * time.Millisecond
	maxPause     = 8 * time.Second
	// maxTries bounds calls without progress, one after another: with the pauses
	// between them they take about a minute, a restart of the provider.
	maxTries = 10
	// continueTimeout is how long a refusal may take to come before the files are
	// sent (RFC 9110, 10.1.1).
	continueTimeout = 2 * time.Second
)

// Config is what a client is made of.
type Config struct {
	Address Address
	// Token is a bearer token; empty where the address asks for none.
	Token string
	// CA has certificates, PEM, that are trusted instead of the system's.
	CA []byte
	// Idle is how long a stream may be silent, a minute by default.
	Idle time.Duration
	// Pause is before the first repeat of a call, 250 ms by default.
	Pause time.Duration
}

// Client talks to one API.
type Client struct {
	base  string
	name  string
	token string
	idle  time.Duration
	pause time.Duration
	http  *http.Client
}

// New checks a configuration: invalid_argument for a token that no header can
// carry, or a CA without certificates.
func New(cfg Config) (*Client, error) {
	if cfg.Address.scheme == "" {
		return nil, status.New(status.InvalidArgument, "api.address", "the API's address: got nothing, want %s", addressForms)
	}
	if err := CheckToken(cfg.Token); cfg.Token != "" && err != nil {
		return nil, err
	}
	t := &http.Transport{
		MaxIdleConns: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 15 * time.Second, ExpectContinueTimeout: continueTimeout,
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second}
	switch cfg.Address.scheme {
	case "unix":
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", cfg.Address.socket)
		}
	case "http":
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return onlyLoopback(address) }
		t.DialContext = dialer.DialContext
	default:
		t.Proxy = http.ProxyFromEnvironment
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, here(address))
		}
	}
	if cfg.CA != nil {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return nil, status.New(status.InvalidArgument, "api.ca", "the file of --api-ca has no certificate, want PEM")
		}
	}
	c := &Client{base: cfg.Address.base(), name: cfg.Address.String(), token: cfg.Token, idle: cfg.Idle, pause: cfg.Pause, http: &http.Client{
		Transport: t,
		// The token is for this address, and what a POST becomes elsewhere is unclear.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.idle <= 0 {
		c.idle = defaultIdle
	}
	if c.pause <= 0 {
		c.pause = defaultPause
	}
	return c, nil
}

// Close closes connections that are not used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// CheckToken refuses what no Authorization header carries (RFC 6750, 2.1). The
// error does not repeat it.
func CheckToken(token string) error {
	if token == "" || len(token) > MaxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return status.New(status.InvalidArgument, "api.token", "the token is no bearer token: want one line of printable ASCII, at most %d bytes", MaxToken)
	}
	return nil
}

// Check asks whether the token is one of this API's that may read.
func (c *Client) Check(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/apps?page_size=1", nil, nil)
	if err != nil {
		return err
	}
	defer drain(resp)
	err = c.refusal(resp)
	if status.ReasonOf(err) == "api.namespace" {
		return nil // it is for several namespaces, and this call names none
	}
	return err
}

// do sends one request. Its error has a class.
func (c *Client) do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", "apocryph-publisher")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.classify(ctx, err)
	}
	return resp, nil
}

// classify says what a call without an answer means.
func (c *Client) classify(ctx context.Context, err error) error {
	var cert *tls.CertificateVerificationError
	var refused *status.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &cert):
		return status.Wrap(cert.Err, status.Untrusted, "api.certificate", "the certificate of %s is not trusted", c.name).
			WithHint("where it is the provider's own, get it from the operator and name the file with --api-ca")
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return status.Wrap(op, status.Unavailable, "api.unreachable", "nobody answers at %s", c.name)
	}
	return status.Wrap(unwrapURL(err), status.Unavailable, reasonLost, "the connection to %s was lost", c.name)
}

// reasonLost is that of a connection that broke after it was made.
const reasonLost = "api.lost"

// unwrapURL drops the method and URL that net/http puts in front of an error.
func unwrapURL(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// refusal is the error of an answer, nil for 2xx.
func (c *Client) refusal(resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e := status.New(status.Unavailable, "api.redirect", "%s sends elsewhere (%d), and redirects are not followed", c.name, resp.StatusCode)
		return e.WithHint("name the API's own address with --api")
	}
	err := problem.Read(resp)
	var e *status.Error
	if errors.As(err, &e) && e.Code == status.Unauthenticated && c.token == "" {
		return e.WithHint("`publisher login %s --token-stdin` stores a token", c.name)
	}
	return err
}

// drain leaves a connection that can be used again, where that costs little.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // best effort
	_ = resp.Body.Close()
}
