package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	// orderTimeout bounds one order, against an authority that is slow: the
	// next host waits for it.
	orderTimeout = 2 * time.Minute
	// pollEvery is how often the hosts are looked at.
	pollEvery = 5 * time.Second
)

// Hosts are those that apps are served as.
type Hosts interface {
	// Hosts are what running pods hold at this moment.
	Hosts() []string
}

// AuthorityConfig is what Open needs.
type AuthorityConfig struct {
	// Dir has the sealed keys and the certificates. It is made if need be.
	Dir string
	// SealKey has KeySize bytes and is the same for as long as the machine is in
	// the same measured state.
	SealKey []byte
	// Directory is the URL of an ACME directory (RFC 8555, 7.1.1), https. To use
	// it means to agree to the authority's terms of service.
	Directory string
	// Email is where the authority may write to; empty for none.
	Email string
	// Roots are those of the directory's own TLS; nil means the system's.
	Roots *x509.CertPool
	// UserAgent names this program to the authority.
	UserAgent string
	Now       func() time.Time
	// Log may be nil.
	Log *slog.Logger
}

// Authority is one key whose certificates an ACME authority signs. Its methods
// may be called from any goroutine, Run once. Make it with [Open].
type Authority struct {
	cfg  AuthorityConfig
	log  *slog.Logger
	ring *Keyring
	acme *acme.Client
	// transport is closed by Run.
	transport *http.Transport
	poll      time.Duration

	// schedule and registered are Run's.
	schedule   schedule
	registered bool

	mu sync.RWMutex // guards what follows
	// issued is what the authority signed, by host.
	issued map[string]*tls.Certificate
	// tokens are of challenges that wait for the authority.
	tokens map[challenge]string
}

// challenge names one that is asked for over HTTP.
type challenge struct{ host, token string }

// Open opens the keys and certificates of earlier runs, or makes keys. It speaks
// to nobody yet.
func Open(cfg AuthorityConfig) (*Authority, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of certificates: %w", err)
	}
	keys, err := openKeys(cfg.Dir, cfg.SealKey, cfg.Log)
	if err != nil {
		return nil, err
	}
	// Nobody needs it any more.
	cfg.SealKey = nil
	ring, err := ringOf(keys.tls, cfg.Now)
	if err != nil {
		return nil, err
	}
	transport := newTransport(cfg.Roots)
	a := &Authority{
		cfg: cfg, log: cfg.Log, ring: ring, transport: transport, poll: pollEvery,
		acme: &acme.Client{
			Key: keys.account, DirectoryURL: cfg.Directory, UserAgent: cfg.UserAgent, RetryBackoff: pause,
			HTTPClient: &http.Client{Transport: bounded{transport}, CheckRedirect: noRedirects, Timeout: requestTimeout},
		},
		schedule: schedule{attempts: map[string]attempt{}},
		issued:   map[string]*tls.Certificate{},
		tokens:   map[challenge]string{},
	}
	return a, a.load()
}

// KeyDigest is the SHA-256 of the key's SubjectPublicKeyInfo, as
// [Keyring.KeyDigest].
func (a *Authority) KeyDigest() []byte { return a.ring.KeyDigest() }

// Certificate returns the certificate of a host that the authority signed; where
// there is none yet, or its end has come, one that is made here.
func (a *Authority) Certificate(host string) (*tls.Certificate, error) {
	a.mu.RLock()
	c := a.issued[host]
	a.mu.RUnlock()
	if c != nil && a.cfg.Now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	return a.ring.Certificate(host)
}

// KeyAuthorization is the answer to a challenge that waits (RFC 8555, 8.3).
func (a *Authority) KeyAuthorization(host, token string) (string, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	answer, ok := a.tokens[challenge{host, token}]
	return answer, ok
}

// Run orders certificates for hosts and renews them until ctx ends, one order at
// a time, and returns nil then.
func (a *Authority) Run(ctx context.Context, hosts Hosts) error {
	defer a.transport.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		a.round(ctx, hosts)
		timer.Reset(a.poll)
	}
}

// round orders what is due now.
func (a *Authority) round(ctx context.Context, hosts Hosts) {
	now := a.cfg.Now()
	held := map[string]bool{}
	all := hosts.Hosts()
	for _, h := range all {
		held[h] = true
	}
	a.schedule.forget(held, now)
	for _, host := range a.schedule.due(all, a.issued, now) {
		if ctx.Err() != nil || !a.room(host, held) || !a.schedule.begin(now) {
			return
		}
		err := a.order(ctx, host)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			a.schedule.succeeded(host, a.cfg.Now())
			a.log.Info("certificate obtained", "host", host, "until", a.issued[host].Leaf.NotAfter)
		default:
			atLeast, _ := acme.RateLimit(unwrapped(err))
			wait := a.schedule.failed(host, a.cfg.Now(), atLeast)
			a.log.Warn("no certificate from the authority: the self-made one is shown", "host", host, "err", err, "retry_in", wait)
		}
	}
}

// unwrapped is the authority's own error, for [acme.RateLimit] looks at no other.
func unwrapped(err error) error {
	var e *acme.Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// room makes room for a host's certificate and reports whether there is some.
func (a *Authority) room(host string, held map[string]bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.issued[host] != nil || len(a.issued) < maxIssued {
		return true
	}
	for other := range a.issued {
		if !held[other] {
			delete(a.issued, other)
			// What stays there is deleted at the next start.
			_ = os.Remove(a.fileOf(other))
			return true
		}
	}
	return false
}
