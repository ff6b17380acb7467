package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/provider/certs/acmetest"
)

// sign is a certificate by nobody in particular.
func sign(t *testing.T, public any, key *ecdsa.PrivateKey, host string, from, until time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{host}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Error(err)
	}
	return der
}

// TestHostileAuthority answers with what must not be shown to users. Each costs
// one order of the hour and a back-off, and nothing stays on the disk.
func TestHostileAuthority(t *testing.T) {
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	until := from.Add(90 * 24 * time.Hour)
	type chain = func(*x509.CertificateRequest, [][]byte) [][]byte
	leaf := func(public any, host string, from, until time.Time) chain {
		return func(r *x509.CertificateRequest, c [][]byte) [][]byte {
			if public == nil {
				public = r.PublicKey
			}
			return [][]byte{sign(t, public, foreign, host, from, until), c[1]}
		}
	}
	endless := func(path string) func(w http.ResponseWriter, req *http.Request) bool {
		return func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.HasPrefix(req.URL.Path, path) {
				return false
			}
			w.Header().Set("Replay-Nonce", "n")
			if path == "/order" {
				w.WriteHeader(http.StatusCreated)
			}
			_, _ = io.WriteString(w, `{"status":"`)
			for range 64 {
				if _, err := io.WriteString(w, strings.Repeat("x", maxBody/16)); err != nil {
					break
				}
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		cfg  acmetest.Config
		want string
	}{
		"another key":       {acmetest.Config{Chain: leaf(foreign.Public(), shop, from, until)}, "another key"},
		"another host":      {acmetest.Config{Chain: leaf(nil, "bank.example", from, until)}, "another host"},
		"expired":           {acmetest.Config{Chain: leaf(nil, shop, from.Add(-time.Hour), from)}, "good from"},
		"not yet good":      {acmetest.Config{Chain: leaf(nil, shop, from.Add(2*skew), until)}, "good from"},
		"empty chain":       {acmetest.Config{Chain: func(*x509.CertificateRequest, [][]byte) [][]byte { return nil }}, ""},
		"no certificate":    {acmetest.Config{Chain: func(_ *x509.CertificateRequest, c [][]byte) [][]byte { return [][]byte{[]byte("x"), c[1]} }}, ""},
		"no issuer":         {acmetest.Config{Chain: func(_ *x509.CertificateRequest, c [][]byte) [][]byte { return [][]byte{c[0], []byte("x")} }}, ""},
		"long chain":        {acmetest.Config{Chain: func(_ *x509.CertificateRequest, c [][]byte) [][]byte { return slices.Repeat(c, maxChain) }}, ""},
		"huge chain":        {acmetest.Config{Chain: func(_ *x509.CertificateRequest, c [][]byte) [][]byte { return append(c, make([]byte, maxChainSize)) }}, "bytes"},
		"huge directory":    {acmetest.Config{Intercept: endless("/directory")}, errBody.Error()},
		"huge order":        {acmetest.Config{Intercept: endless("/order")}, errBody.Error()},
		"huge certificate":  {acmetest.Config{Intercept: endless("/cert/")}, errBody.Error()},
		"plain http":        {acmetest.Config{Directory: map[string]string{"newOrder": "http://127.0.0.1:1/order"}}, errPlain.Error()},
		"a file":            {acmetest.Config{Directory: map[string]string{"newAccount": "file:///etc/passwd"}}, errPlain.Error()},
		"another's account": {acmetest.Config{Directory: map[string]string{"newAccount": ""}}, ""},
		"redirects": {acmetest.Config{Intercept: func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path != "/order" {
				return false
			}
			http.Redirect(w, req, "/account", http.StatusTemporaryRedirect)
			return true
		}}, "307"},
		"no json": {acmetest.Config{Intercept: func(w http.ResponseWriter, req *http.Request) bool {
			_, _ = io.WriteString(w, "<html>")
			return req.URL.Path == "/directory"
		}}, ""},
		"long text": {acmetest.Config{Intercept: func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path != "/order" {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"type":"x","detail":"`+strings.Repeat("no\\n", 1000)+`"}`)
			return true
		}}, "no no no"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(s *acmetest.Config) {
				s.Chain, s.Intercept, s.Directory = c.cfg.Chain, c.cfg.Intercept, c.cfg.Directory
			})
			err := w.a.order(t.Context(), shop)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > maxDetail+8 || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q on one line", err, c.want)
			}
			if w.signed(shop) || len(w.a.issued) != 0 {
				t.Error("it is shown")
			}
			if files, err := filepath.Glob(filepath.Join(w.cfg.Dir, "*"+certificateSuffix)); err != nil || files != nil {
				t.Errorf("on the disk: %v, %v", files, err)
			}
		})
	}
}

// TestSlowAuthority sends a byte and no more.
func TestSlowAuthority(t *testing.T) {
	w := newWorld(t, func(c *acmetest.Config) {
		c.Intercept = func(w http.ResponseWriter, req *http.Request) bool {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return true
		}
	})
	if got := w.a.acme.HTTPClient.Timeout; got != requestTimeout {
		t.Errorf("requests may take %v", got)
	}
	w.a.acme.HTTPClient.Timeout = 50 * time.Millisecond
	if err := w.a.order(t.Context(), shop); !os.IsTimeout(errors.Unwrap(errors.Unwrap(err))) {
		t.Errorf("got %v, want a timeout", err)
	}
}

// TestShortLife is of certificates that are due when they come.
func TestShortLife(t *testing.T) {
	w := newWorld(t, func(c *acmetest.Config) { c.Lifetime = time.Minute })
	w.round(shop)
	w.now = w.now.Add(50 * time.Second)
	w.round(shop)
	w.now = w.now.Add(restWait - 51*time.Second)
	w.round(shop)
	w.wantOrders(shop)
	w.now = w.now.Add(time.Second)
	w.round(shop)
	w.wantOrders(shop, shop)
}

// TestDemandedWait is the authority's, up to a day.
func TestDemandedWait(t *testing.T) {
	s := schedule{attempts: map[string]attempt{}}
	now := time.Unix(0, 0)
	for _, c := range []struct{ atLeast, want time.Duration }{
		{0, firstWait},
		{time.Second, 2 * firstWait},
		{3 * time.Hour, 3 * time.Hour},
		{1000 * time.Hour, lastWait},
		{0, 16 * firstWait},
		{0, 32 * firstWait},
		{0, 64 * firstWait},
		{0, lastWait},
		{0, lastWait},
	} {
		if got := s.failed(shop, now, c.atLeast); got != c.want {
			t.Errorf("after %d failures, %v demanded: %v, want %v", s.attempts[shop].failures, c.atLeast, got, c.want)
		}
	}
}

func TestTokens(t *testing.T) {
	for token, want := range map[string]bool{
		"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA": true, "": false, "a/b": false, "../x": false, "a b": false, "a\n": false,
		strings.Repeat("a", maxToken): true, strings.Repeat("a", maxToken+1): false,
	} {
		if validToken(token) != want {
			t.Errorf("%.60q: got %v", token, !want)
		}
	}
}

// FuzzParseChain of what lies on the disk, which is its owner's.
func FuzzParseChain(f *testing.F) {
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	f.Add([]byte{})
	f.Add(one)
	f.Add(slices.Repeat(one, maxChain+1))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		chain, err := parseChain(b)
		if (err == nil) != (len(chain) > 0) || len(chain) > maxChain {
			t.Errorf("%d certificates, %v", len(chain), err)
		}
	})
}
