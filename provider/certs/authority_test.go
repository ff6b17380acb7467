package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/provider/certs/acmetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop = "shop.example.org"

// holds are hosts that running pods hold.
type holds []string

func (h holds) Hosts() []string { return h }

// world is an authority, and a provider's ingress that answers its challenges.
type world struct {
	t      *testing.T
	now    time.Time
	server *acmetest.Server
	cfg    AuthorityConfig
	// a answers at address; deaf answers nothing.
	a       *Authority
	address string
	deaf    bool
}

func newWorld(t *testing.T, change func(*acmetest.Config)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		token := strings.TrimPrefix(req.URL.Path, "/.well-known/acme-challenge/")
		if answer, ok := w.a.KeyAuthorization(req.Host, token); ok && !w.deaf {
			_, _ = io.WriteString(rw, answer)
			return
		}
		http.NotFound(rw, req)
	}))
	t.Cleanup(front.Close)
	w.address = front.Listener.Addr().String()
	clock := func() time.Time { return w.now }
	cfg := acmetest.Config{Resolve: func(string) string { return w.address }, Now: clock}
	if change != nil {
		change(&cfg)
	}
	w.server = acmetest.New(t, cfg)
	w.cfg = AuthorityConfig{
		Dir: filepath.Join(t.TempDir(), "ingress"), SealKey: bytes.Repeat([]byte{1}, KeySize),
		Directory: w.server.URL(), Email: "admin@example.org", Roots: w.server.Roots(), Now: clock,
	}
	w.open()
	return w
}

// open starts the provider again.
func (w *world) open() {
	w.t.Helper()
	a, err := Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.a = a
	// The authority of tests is not busy.
	a.acme.RetryBackoff = func(int, *http.Request, *http.Response) time.Duration { return 0 }
	w.t.Cleanup(a.transport.CloseIdleConnections)
}

func (w *world) round(hosts ...string) {
	w.t.Helper()
	w.a.round(w.t.Context(), holds(hosts))
	for challenge := range w.a.tokens {
		w.t.Errorf("%v still waits", challenge)
	}
}

// signed checks the certificate of a host and reports whether the authority
// signed it.
func (w *world) signed(host string) bool {
	w.t.Helper()
	c, err := w.a.Certificate(host)
	if err != nil {
		w.t.Fatal(err)
	}
	if !c.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(w.a.ring.key.Public()) {
		w.t.Errorf("%s: not the key of the claims", host)
	}
	middle := x509.NewCertPool()
	for _, der := range c.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			middle.AddCert(c)
		}
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: w.server.Issuer(), Intermediates: middle, CurrentTime: w.now})
	return err == nil
}

func (w *world) wantOrders(want ...string) {
	w.t.Helper()
	if got := w.server.Orders(); !slices.Equal(got, want) {
		w.t.Errorf("orders for %v, want %v", got, want)
	}
}

func TestObtainsAndKeeps(t *testing.T) {
	w := newWorld(t, nil)
	if w.signed(shop) {
		t.Fatal("signed by nobody")
	}
	w.round(shop)
	if !w.signed(shop) || w.signed("other.example.org") {
		t.Error("want the authority's certificate for the host alone")
	}
	w.round(shop)
	w.wantOrders(shop)
	digest := w.a.KeyDigest()

	// A restart has the same key and orders nothing.
	w.open()
	if !w.signed(shop) || !bytes.Equal(digest, w.a.KeyDigest()) {
		t.Error("lost by a restart")
	}
	w.round(shop)
	w.wantOrders(shop)

	// Another host, the same account.
	w.round(shop, "b.example.org")
	w.wantOrders(shop, "b.example.org")
	if n := w.server.Accounts(); n != 1 || !slices.Equal(w.server.Contacts(), []string{"mailto:admin@example.org"}) {
		t.Errorf("%d accounts with %v", n, w.server.Contacts())
	}
	for _, f := range w.server.Faults() {
		t.Error(f)
	}
	entries, err := os.ReadDir(w.cfg.Dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

// TestRenews when a third of the life is left, with the same key, and shows the
// self-made certificate after the end.
func TestRenews(t *testing.T) {
	w := newWorld(t, nil)
	w.round(shop)
	first, _ := w.a.Certificate(shop)
	w.now = first.Leaf.NotAfter.Add(-30*24*time.Hour - time.Second)
	w.round(shop)
	w.wantOrders(shop)
	w.now = w.now.Add(2 * time.Second)
	w.round(shop)
	w.wantOrders(shop, shop)
	second, _ := w.a.Certificate(shop)
	if !second.Leaf.NotAfter.After(first.Leaf.NotAfter) || !w.signed(shop) {
		t.Error("not renewed")
	}
	w.deaf = true
	w.now = second.Leaf.NotAfter.Add(-time.Second)
	w.round(shop)
	if !w.signed(shop) {
		t.Error("a renewal that did not succeed took the certificate away")
	}
	w.now = second.Leaf.NotAfter
	if w.signed(shop) {
		t.Error("shown after its end")
	}
	w.open()
	if len(w.a.issued) != 0 {
		t.Error("kept after its end")
	}
}

func TestFailureBacksOff(t *testing.T) {
	w := newWorld(t, nil)
	w.deaf = true
	w.round(shop)
	if w.signed(shop) {
		t.Error("signed without an answer")
	}
	start := w.now
	for n, wait := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour} {
		w.now = w.now.Add(wait - time.Second)
		w.round(shop)
		if got := len(w.server.Orders()); got != n+1 {
			t.Fatalf("%v after the start: %d orders, want %d", w.now.Sub(start), got, n+1)
		}
		w.now = w.now.Add(time.Second)
		w.deaf = n < 2
		w.round(shop)
		if got := len(w.server.Orders()); got != n+2 {
			t.Fatalf("%v after the start: %d orders, want %d", w.now.Sub(start), got, n+2)
		}
	}
	if !w.signed(shop) {
		t.Error("not signed when the challenge was answered")
	}
}

// TestOrdersNothing for hosts that no authority signs for, or that nobody holds.
func TestOrdersNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.round("localhost", "a.localhost", "192.0.2.1", "2001:db8::1", "shop")
	w.round()
	for _, host := range []string{shop, "localhost"} {
		if w.signed(host) {
			t.Errorf("%s is signed", host)
		}
	}
	w.wantOrders()
}

func TestOrdersAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.deaf = true
	var hosts []string
	for n := range maxOrders + 5 {
		hosts = append(hosts, "h"+string(rune('a'+n))+".example.org")
	}
	w.round(hosts...)
	if got := len(w.server.Orders()); got != maxOrders {
		t.Errorf("%d orders, want %d", got, maxOrders)
	}
	w.now = w.now.Add(ordersWindow)
	w.round(hosts[maxOrders:]...)
	if got := len(w.server.Orders()); got != maxOrders+5 {
		t.Errorf("%d orders an hour later, want %d", got, maxOrders+5)
	}
	// What is known of hosts that nobody holds goes when its time is over.
	w.now = w.now.Add(lastWait)
	w.round()
	if got := len(w.a.schedule.attempts); got != 0 {
		t.Errorf("%d hosts are remembered", got)
	}
}

// TestMeasuredState changes the data key.
func TestMeasuredState(t *testing.T) {
	w := newWorld(t, nil)
	w.round(shop)
	digest := w.a.KeyDigest()
	sealed, err := os.ReadFile(filepath.Join(w.cfg.Dir, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := w.a.ring.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{scalar, []byte("account")} {
		if bytes.Contains(sealed, secret) {
			t.Errorf("%x is on the disk in plain", secret)
		}
	}
	w.cfg.SealKey = bytes.Repeat([]byte{2}, KeySize)
	w.open()
	if bytes.Equal(digest, w.a.KeyDigest()) || w.signed(shop) {
		t.Error("the key opened in another state")
	}
	w.round(shop)
	w.wantOrders(shop, shop)
	if !w.signed(shop) || w.server.Accounts() != 2 {
		t.Errorf("not ordered anew, %d accounts", w.server.Accounts())
	}
}

// TestDamagedFiles of any kind cost an order, never the start or a wrong key.
func TestDamagedFiles(t *testing.T) {
	w := newWorld(t, nil)
	w.round(shop)
	digest := w.a.KeyDigest()
	path := filepath.Join(w.cfg.Dir, keysFile)
	sealed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, b := range map[string][]byte{
		"empty": {}, "short": sealed[:11], "cut": sealed[:len(sealed)-1], "one bit": flipped, "long": bytes.Repeat([]byte{7}, maxKeysFile+1),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.open()
		if bytes.Equal(digest, w.a.KeyDigest()) || len(w.a.issued) != 0 {
			t.Errorf("%s: opened", name)
		}
	}
	certificate := w.a.fileOf(shop)
	for name, b := range map[string]string{
		"empty": "", "no PEM": "x", "another block": "-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n",
		"no certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "long": strings.Repeat("x", maxFile+1),
	} {
		if err := os.WriteFile(certificate, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		w.open()
		if _, err := os.Stat(certificate); err == nil || len(w.a.issued) != 0 {
			t.Errorf("%s: kept", name)
		}
	}
	w.round(shop)
	file, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	// Under another host's name, or from another directory, it is of no use.
	if err := os.Rename(certificate, w.a.fileOf("other.example.org")); err != nil {
		t.Fatal(err)
	}
	w.open()
	if len(w.a.issued) != 0 {
		t.Error("read under another name")
	}
	if err := os.WriteFile(certificate, file, 0o600); err != nil {
		t.Fatal(err)
	}
	w.cfg.Directory += "/other"
	w.open()
	if len(w.a.issued) != 0 {
		t.Error("read from another directory")
	}
}

// TestRun orders by itself and ends with its context, an order under way or not.
func TestRun(t *testing.T) {
	asked := make(chan struct{})
	w := newWorld(t, func(c *acmetest.Config) {
		c.Intercept = func(_ http.ResponseWriter, req *http.Request) bool {
			close(asked)
			<-req.Context().Done()
			return true
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.a.Run(ctx, holds{shop}) }()
	<-asked
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(w.a.schedule.attempts) != 0 {
		t.Error("the end of the provider counts as a failure")
	}
}
