package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"apocryph/proto/status"
)

// Certificates are what the ingress shows to clients that speak TLS.
type Certificates interface {
	// Certificate is for host, which is that of an app or below the domain.
	Certificate(host string) (*tls.Certificate, error)
}

// defaultPort is the port that a URL need not name.
var defaultPort = map[string]uint16{"http": 80, "https": 443}

func (i *Ingress) scheme() string {
	if i.cfg.ListenTLS != "" {
		return "https"
	}
	return "http"
}

// AddrTLS is the address of the HTTPS listener, nil before Ready and where there is none.
func (i *Ingress) AddrTLS() net.Addr {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.tls
}

// listenTLS binds the HTTPS listener, nil where there is none.
func (i *Ingress) listenTLS(ctx context.Context) (*guardedListener, error) {
	if i.cfg.ListenTLS == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", i.cfg.ListenTLS)
	if err != nil {
		return nil, status.Wrap(err, status.Unavailable, "ingress.listen", "ingress address %s can't be listened on", i.cfg.ListenTLS).
			WithHint("another program may use it: choose another with --ingress-tls")
	}
	return newGuardedListener(listener, i.conns, i.log), nil
}

// tlsConfig needs TLS 1.3: every client of the last years has it, and its
// handshake shows the certificate to nobody on the way.
func (i *Ingress) tlsConfig() *tls.Config {
	if i.cfg.ListenTLS == "" {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: i.certificate}
}

// certificate is for hosts that are served, and for those below the domain,
// whose clients are then told that no app is there. A client that names no host
// gets the domain's.
func (i *Ingress) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		return i.cfg.Certificates.Certificate(i.cfg.Domain)
	}
	host, ok := parseHost(hello.ServerName)
	if !ok || (*i.routes.Load())[host] == nil && !under(host, i.cfg.Domain) && !i.leads(host) {
		return nil, fmt.Errorf("no app is served as %.80q here", hello.ServerName)
	}
	return i.cfg.Certificates.Certificate(host)
}
