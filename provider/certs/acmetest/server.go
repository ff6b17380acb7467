package acmetest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	pathDirectory = "/directory"
	pathNonce     = "/nonce"
	pathAccount   = "/account"
	pathOrder     = "/order"
	pathOrders    = "/orders/"
	pathAuthz     = "/authz/"
	pathChallenge = "/challenge/"
	pathFinalize  = "/finalize/"
	pathCert      = "/cert/"
	problemPrefix = "urn:ietf:params:acme:error:"
)

// Config changes how a server behaves.
type Config struct {
	// Resolve is the address that a host's port 80 is at.
	Resolve func(host string) string
	// Now and Lifetime are of the certificates; zero values are the real time
	// and 90 days.
	Now      func() time.Time
	Lifetime time.Duration
	// Intercept answers instead of the server where it returns true.
	Intercept func(w http.ResponseWriter, req *http.Request) bool
	// Chain replaces what is handed out for a request.
	Chain func(request *x509.CertificateRequest, chain [][]byte) [][]byte
	// Directory replaces URLs of the directory by their names.
	Directory map[string]string
}

// Server is one authority.
type Server struct {
	cfg  Config
	http *httptest.Server
	ca   *ca
	// fetch gets challenges.
	fetch *http.Client

	mu sync.Mutex // guards what follows
	// nonces are those that were given and not used.
	nonces   map[string]bool
	accounts map[string]jwk
	orders   map[string]*order
	hosts    []string
	faults   []string
	contacts []string
}

// order has one name.
type order struct {
	host, token   string
	account       jwk
	status, authz string
	chain         [][]byte
}

// New starts a server that ends with the test.
func New(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 90 * 24 * time.Hour
	}
	authority, err := newCA()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, cfg.Resolve(host))
	}}
	s := &Server{
		cfg: cfg, ca: authority, fetch: &http.Client{Transport: transport, Timeout: 10 * time.Second},
		nonces: map[string]bool{}, accounts: map[string]jwk{}, orders: map[string]*order{},
	}
	s.http = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { s.http.Close(); transport.CloseIdleConnections() })
	return s
}

// URL is the directory's.
func (s *Server) URL() string { return s.http.URL + pathDirectory }

// Roots are what the server's own TLS is to be verified with.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return pool
}

// RootsPEM is the same as a file has it.
func (s *Server) RootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Issuer verifies what the server signed.
func (s *Server) Issuer() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.cert)
	return pool
}

// Orders are the hosts of all orders so far, Accounts how many there are,
// Contacts what they gave.
func (s *Server) Orders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.hosts...)
}

// Accounts says how many there are, Contacts what they gave.
func (s *Server) Accounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accounts)
}

// Contacts are what accounts gave.
func (s *Server) Contacts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.contacts...)
}

// Faults are what clients did against the protocol.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.faults...)
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	if s.cfg.Intercept != nil && s.cfg.Intercept(w, req) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := rand.Text()
	s.nonces[nonce] = true
	w.Header().Set("Replay-Nonce", nonce)
	switch {
	case req.URL.Path == pathDirectory:
		s.directory(w)
		return
	case req.URL.Path == pathNonce:
		return
	}
	payload, key, err := s.open(req)
	if err != nil {
		s.fault(w, "malformed", err.Error())
		return
	}
	if req.URL.Path == pathAccount {
		s.account(w, payload, key)
		return
	}
	if req.URL.Path == pathOrder {
		s.newOrder(w, payload, key)
		return
	}
	for prefix, serve := range map[string]func(http.ResponseWriter, string, *order, []byte){
		pathOrders: s.showOrder, pathAuthz: s.showAuthz, pathChallenge: s.tryChallenge, pathFinalize: s.finalize, pathCert: s.showCert,
	} {
		if id, ok := strings.CutPrefix(req.URL.Path, prefix); ok && s.orders[id] != nil && s.orders[id].account == key {
			serve(w, id, s.orders[id], payload)
			return
		}
	}
	s.fault(w, "malformed", "nothing at "+req.URL.Path)
}

func (s *Server) directory(w http.ResponseWriter) {
	d := map[string]any{
		"newNonce": s.http.URL + pathNonce, "newAccount": s.http.URL + pathAccount, "newOrder": s.http.URL + pathOrder,
		"meta": map[string]string{"termsOfService": s.http.URL + "/terms"},
	}
	for name, url := range s.cfg.Directory {
		d[name] = url
	}
	reply(w, http.StatusOK, d)
}

func (s *Server) account(w http.ResponseWriter, payload []byte, key jwk) {
	var in struct {
		TermsOfServiceAgreed bool     `json:"termsOfServiceAgreed"`
		Contact              []string `json:"contact"`
	}
	if err := json.Unmarshal(payload, &in); err != nil || !in.TermsOfServiceAgreed {
		s.fault(w, "userActionRequired", fmt.Sprintf("terms are not agreed to: %v", err))
		return
	}
	id := s.http.URL + "/accounts/" + key.thumbprint()
	_, known := s.accounts[id]
	s.accounts[id] = key
	w.Header().Set("Location", id)
	code := http.StatusOK
	if !known {
		s.contacts = append(s.contacts, in.Contact...)
		code = http.StatusCreated
	}
	reply(w, code, map[string]string{"status": "valid"})
}

func (s *Server) fault(w http.ResponseWriter, kind, detail string) {
	s.faults = append(s.faults, kind+": "+detail)
	problem(w, kind, detail)
}

func problem(w http.ResponseWriter, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"type": problemPrefix + kind, "detail": detail})
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
