package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"apocryph/e2e/harness"
	"apocryph/provider/certs/acmetest"
)

// TestCertificate is a provider whose app's host an authority signs for: the
// challenge is fetched from the real ingress, a browser that trusts the authority
// connects, and the key is the attested one. A restart orders nothing.
func TestCertificate(t *testing.T) {
	w := harness.New(t)
	var front atomic.Pointer[string]
	authority := acmetest.New(t, acmetest.Config{Resolve: func(string) string {
		if at := front.Load(); at != nil {
			return *at
		}
		return "127.0.0.1:1"
	}})
	ca := w.Write("ca.pem", string(authority.RootsPEM()))
	const host = "shop.example.net"
	p := w.Provider("provider", "--ingress-tls", "127.0.0.1:0", "--domain", "apps.example.org", "--allow-host", "*",
		"--acme-directory", authority.URL(), "--acme-accept-terms", "--acme-ca", ca)
	ingress := p.Info.Ingress
	front.Store(&ingress)
	pub, user := w.Publisher("publisher"), w.Publisher("user")
	pol := pub.Policy(p)
	pub.Must("deploy", w.Write("app.yaml", app("shop", w.Image(0, 1), "host: "+host)), "--provider", p.Addr(), "--policy", pol)

	// shown is the digest of the key, once the authority's certificate is there.
	shown := func() string {
		t.Helper()
		var digest [sha256.Size]byte
		harness.Eventually(t, "a certificate by the authority", func() bool {
			conn, err := tls.Dial("tcp", p.Info.IngressTLS, &tls.Config{RootCAs: authority.Issuer(), ServerName: host})
			if err != nil {
				return false
			}
			defer conn.Close()
			digest = sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
			return true
		})
		return "sha256//" + base64.StdEncoding.EncodeToString(digest[:])
	}
	verified := func() {
		t.Helper()
		key := shown()
		_, port, err := net.SplitHostPort(p.Info.IngressTLS)
		if err != nil {
			t.Fatal(err)
		}
		u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}
		got := user.Must("verify", u.String(), "--dial", p.Info.IngressTLS, "--policy", pol, "--json").Object(t)
		running, _ := got["running"].(map[string]any)
		if got["affirmed"] != true || running["tls_key"] != key {
			t.Errorf("the connection's key is %s, what is attested is %v", key, running)
		}
	}
	verified()
	first := shown()
	wantOrders := func() {
		t.Helper()
		if got := authority.Orders(); !slices.Equal(got, []string{host}) || authority.Accounts() != 1 {
			t.Errorf("orders for %v by %d accounts, want one of each", got, authority.Accounts())
		}
	}
	wantOrders()

	if code := p.Stop(); code != 0 {
		t.Errorf("the provider exited with %d", code)
	}
	// Nobody answers challenges now: what is shown then was kept.
	front.Store(nil)
	p.Start()
	verified()
	if again := shown(); again != first {
		t.Errorf("a restart made another key: %s, was %s", again, first)
	}
	p.Kill()
	p.Start()
	verified()
	wantOrders()
	for _, f := range authority.Faults() {
		t.Error(f)
	}
	// Neither the account's key nor the ingress's lies there in the open.
	for _, file := range keyFiles(t, w.Path("provider", "ingress")) {
		if strings.Contains(file, "PRIVATE KEY") {
			t.Error("a private key is not sealed")
		}
	}
}

func keyFiles(t *testing.T, dir string) (contents []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(b))
	}
	return contents
}
