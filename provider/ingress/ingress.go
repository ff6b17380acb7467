package ingress

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// maxConns bounds the open connections of clients, HTTP and mapped TCP
	// together, against a flood that eats all file descriptors (each costs two).
	maxConns = 16384
	// maxConnsPerSource bounds those of one IPv4 address or IPv6 /64, against
	// one machine that holds all of them open (slowloris).
	maxConnsPerSource = 512
	// headerTimeout bounds how long a request header may take (slowloris).
	headerTimeout = 10 * time.Second
	// bodyTimeout bounds how long an HTTP/1 client may pause within a body.
	bodyTimeout = 60 * time.Second
	// lingerTime bounds how long the rest of a body is read after the answer.
	lingerTime = 5 * time.Second
	// writeTimeout bounds how long one write to a client may be stuck, against
	// clients that ask and never read.
	writeTimeout = 2 * time.Minute
	// idleTimeout is how long a connection without a request is kept.
	idleTimeout = 2 * time.Minute
	// maxHeader bounds a request header in bytes, and a response header: the
	// app is a stranger too.
	maxHeader = 64 << 10
	// maxStreams bounds the concurrent requests of one HTTP/2 connection.
	maxStreams = 250
	// defaultDrain is how long requests under way may go on after the end of Run.
	defaultDrain = 5 * time.Second
)

// Config is what New needs.
type Config struct {
	// Listen is the address of HTTP, such as ":8081". Port 0 takes any.
	Listen string
	// ListenTLS is the address of HTTPS, empty for none, and Certificates is what
	// is shown there.
	ListenTLS    string
	Certificates Certificates
	// Challenges are answered for authorities; nil for none.
	Challenges Challenges
	// Domain is the parent of generated hosts, such as "localhost".
	Domain string
	// Ports is the range of mapped TCP and UDP ports, both ends included.
	Ports [2]uint16
	// CustomHosts says which hosts of their own publishers may use: "*" for
	// any, "*.example.org" for those below, or exact names. Empty allows none.
	CustomHosts []string
	// Advertise is the address in dial addresses where a listener is bound to
	// all; the zero value takes this machine's first global unicast address.
	Advertise netip.Addr
	// Drain is how long requests under way may go on when Run ends; 0 means 5 s.
	Drain time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Ingress routes traffic to pods. Its methods may be called from any goroutine.
type Ingress struct {
	cfg   Config
	log   *slog.Logger
	hosts hostPolicy
	// conns bounds connections, sessions bounds UDP clients.
	conns, sessions *limiter
	proxy           http.Handler
	ready           chan struct{}
	routes          atomic.Pointer[map[string]*route]
	aliases         atomic.Pointer[map[string]provider.Alias]
	mounts          atomic.Pointer[map[string]http.Handler]
	// attester is nil until Attend.
	attester atomic.Pointer[Attester]
	turns    *turnstile
	// workers are the mapped ports, started while phase is running.
	workers sync.WaitGroup
	// requests is closed when Run ends.
	requests gate
	// pseudonym names this ingress in Via headers.
	pseudonym string

	mu   sync.Mutex // guards what follows
	addr net.Addr
	// tls is the address of HTTPS, nil where there is none.
	tls   net.Addr
	phase phase
	pods  map[provider.PodID]*pod
	// names and claims say which pod holds a host or an external port.
	names  map[string]provider.PodID
	claims map[claim]map[netip.Addr]provider.PodID
}

// phase is where Run is.
type phase uint8

const (
	before phase = iota
	running
	stopped
)

// listenable accepts what net.Listen would bind, by its form.
func listenable(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// New validates a configuration. It listens on nothing yet.
func New(cfg Config) (*Ingress, error) {
	var faults []status.Fault
	if !listenable(cfg.Listen) {
		faults = append(faults, status.Fault{Field: "ingress", Got: fmt.Sprintf("%q", cfg.Listen), Want: "ADDRESS:PORT, such as :8081"})
	}
	if cfg.ListenTLS != "" && !listenable(cfg.ListenTLS) {
		faults = append(faults, status.Fault{Field: "ingress-tls", Got: fmt.Sprintf("%q", cfg.ListenTLS), Want: "ADDRESS:PORT, such as :8443"})
	}
	cfg.Domain = strings.ToLower(strings.TrimSuffix(cfg.Domain, "."))
	if !validHost(cfg.Domain) {
		faults = append(faults, status.Fault{Field: "domain", Got: fmt.Sprintf("%q", cfg.Domain), Want: "a host name, such as localhost"})
	}
	if cfg.Ports[0] == 0 || cfg.Ports[1] < cfg.Ports[0] {
		faults = append(faults, status.Fault{Field: "ports", Got: fmt.Sprintf("%d-%d", cfg.Ports[0], cfg.Ports[1]), Want: "FIRST-LAST within 1-65535"})
	}
	for i, pattern := range cfg.CustomHosts {
		if pattern != "*" && !validHost(strings.TrimPrefix(pattern, "*.")) {
			faults = append(faults, status.Fault{
				Field: fmt.Sprintf("allow-host[%d]", i), Got: fmt.Sprintf("%q", pattern), Want: "*, *.example.org or a host name",
			})
		}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("ingress.config", "ingress configuration", faults)
	}
	if cfg.Drain == 0 {
		cfg.Drain = defaultDrain
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	i := &Ingress{
		cfg: cfg, log: cfg.Log,
		hosts:     hostPolicy{cfg.Domain, cfg.CustomHosts},
		conns:     newLimiter(maxConns, maxConnsPerSource),
		sessions:  newLimiter(maxSessions, maxSessionsPerSource),
		ready:     make(chan struct{}),
		turns:     newTurnstile(time.Now),
		pseudonym: "apocryph-" + strings.ToLower(rand.Text()),
		pods:      map[provider.PodID]*pod{},
		names:     map[string]provider.PodID{},
		claims:    map[claim]map[netip.Addr]provider.PodID{},
	}
	i.routes.Store(&map[string]*route{})
	i.aliases.Store(&map[string]provider.Alias{})
	i.mounts.Store(&map[string]http.Handler{})
	i.proxy = i.newProxy()
	return i, nil
}

// Ready is closed when the ingress accepts connections.
func (i *Ingress) Ready() <-chan struct{} { return i.ready }

// Addr is the address of the HTTP listener, nil before Ready.
func (i *Ingress) Addr() net.Addr {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.addr
}

// Run serves until ctx ends, then lets requests under way finish for the drain
// time, closes every listener and connection and joins all that it started. It
// returns nil after ctx ended. It can be called once.
func (i *Ingress) Run(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", i.cfg.Listen)
	if err != nil {
		return status.Wrap(err, status.Unavailable, "ingress.listen", "ingress address %s can't be listened on", i.cfg.Listen).
			WithHint("another program may use it: choose another with --ingress")
	}
	guarded := newGuardedListener(listener, i.conns, i.log)
	secure, err := i.listenTLS(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	// Requests outlive ctx for the drain time.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := i.server(base)

	i.mu.Lock()
	i.addr, i.phase = listener.Addr(), running
	if secure != nil {
		i.tls = secure.Addr()
	}
	for _, p := range i.pods {
		for _, m := range p.mappings {
			i.start(m)
		}
	}
	i.mu.Unlock()
	close(i.ready)

	served := make(chan error, 2)
	serving := 1
	go func() { served <- server.Serve(guarded) }()
	if secure != nil {
		serving++
		go func() { served <- server.ServeTLS(secure, "", "") }()
	}
	select {
	case err = <-served:
		err = fmt.Errorf("serving ingress: %w", err)
		serving--
	case <-ctx.Done():
		err = nil
		i.stopMappings()
		drain, done := context.WithTimeout(base, i.cfg.Drain)
		_ = server.Shutdown(drain) // what is left is closed below
		done()
	}
	i.stopMappings()
	cancel()
	guarded.closeAll()
	if secure != nil {
		secure.closeAll()
	}
	_ = server.Close()
	for range serving {
		<-served
	}
	<-i.requests.close()
	i.workers.Wait()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.pods {
		p.closeIdle()
	}
	return err
}

// stopMappings closes the mapped ports and accepts no further ones.
func (i *Ingress) stopMappings() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.phase = stopped
	for _, p := range i.pods {
		for key, m := range p.mappings {
			m.close()
			delete(p.mappings, key)
		}
	}
}

func (i *Ingress) server(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		TLSConfig:         i.tlsConfig(),
		Handler:           i,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      idleTimeout,
			WriteByteTimeout:     writeTimeout,
		},
		ConnContext: withConn,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(i.log.Handler(), slog.LevelDebug),
	}
}

var errStopped = errors.New("ingress has ended")
