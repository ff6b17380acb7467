package providerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/certs/acmetest"
	"apocryph/provider/ingress"
)

// TestCertificateFromAuthority starts an ingress as a node does: an authority
// fetches the challenge there, and a browser that trusts the authority reaches
// the app, by the key that the claims have. The node starts again then.
func TestCertificateFromAuthority(t *testing.T) {
	const host = "shop.example.net"
	front := make(chan string, 1)
	authority := acmetest.New(t, acmetest.Config{Resolve: func(string) string {
		address := <-front
		front <- address
		return address
	}})
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, authority.RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := valid(t)
	cfg.Ingress, cfg.IngressTLS, cfg.Domain, cfg.CustomHosts = "127.0.0.1:0", "127.0.0.1:0", "apps.example.org", []string{"*"}
	cfg.ACME = ACME{Directory: authority.URL(), AcceptTerms: true, CAFile: caFile}
	set, err := cfg.check()
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the app") }))
	defer app.Close()
	target := uint16(app.Listener.Addr().(*net.TCPAddr).Port)
	sealKey, err := ingressKey(bytes.Repeat([]byte{5}, 32))
	if err != nil {
		t.Fatal(err)
	}

	start := func() (digest []byte) {
		n := &Node{set: set, log: slog.New(slog.DiscardHandler)}
		c, err := n.certificates(sealKey)
		if err != nil {
			t.Fatal(err)
		}
		door := set.ingress()
		door.Certificates, door.Challenges = c.shown, c.challenges
		in, err := ingress.New(door)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- in.Run(ctx) }()
		defer func() {
			cancel()
			if err := errors.Join(<-ended, <-ended); err != nil {
				t.Error(err)
			}
		}()
		<-in.Ready()
		endpoints, err := in.Assign("publisher", "pod", &manifest.Manifest{Name: "shop", Containers: []manifest.Container{
			{Name: "web", Ports: []manifest.Port{{TargetPort: target, Protocol: manifest.HTTP, Host: host}}},
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Publish("pod", endpoints, []provider.Backend{{Addr: "127.0.0.1"}}); err != nil {
			t.Fatal(err)
		}
		front <- in.Addr().String()
		defer func() { <-front }()
		go func() { ended <- c.run(ctx, in) }()

		var seen tls.ConnectionState
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: authority.Issuer()}, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, in.AddrTLS().String())
			},
		}
		// The self-made certificate is there until the authority's is.
		for deadline := time.Now().Add(20 * time.Second); ; {
			res, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
			if err != nil {
				if time.Now().After(deadline) {
					t.Fatalf("%v; %v", err, authority.Faults())
				}
				continue
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if seen = *res.TLS; string(body) != "the app" {
				t.Errorf("got %q", body)
			}
			break
		}
		if sum := sha256.Sum256(seen.PeerCertificates[0].RawSubjectPublicKeyInfo); !bytes.Equal(sum[:], c.key) {
			t.Error("the connection has another key than the claims")
		}
		return c.key
	}
	first := start()
	if again := start(); !bytes.Equal(first, again) {
		t.Error("a restart made another key")
	}
	if got := authority.Orders(); !slices.Equal(got, []string{host}) {
		t.Errorf("orders for %v", got)
	}
	for _, f := range authority.Faults() {
		t.Error(f)
	}
	// Another data key is another key of the ingress.
	if sealKey, err = ingressKey(bytes.Repeat([]byte{6}, 32)); err != nil {
		t.Fatal(err)
	}
	if other := start(); bytes.Equal(first, other) || len(authority.Orders()) != 2 {
		t.Errorf("another data key opened the ingress's keys; orders for %v", authority.Orders())
	}
}

// valid is a configuration without faults.
func valid(t *testing.T) Config {
	return Config{
		DataDir: t.TempDir(), TEE: "soft", Ports: "30000-30010", Ingress: ":8081", IngressTLS: ":8443", Domain: "localhost",
		DHTPrefix: "/apocryph", AMDKDS: "off", IntelPCS: "off", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Now: time.Now,
	}
}

func TestACMEConfig(t *testing.T) {
	ok := ACME{Directory: "https://ca.example/directory", AcceptTerms: true, Email: "a@example.org"}
	for name, c := range map[string]struct {
		change func(*Config)
		fields []string
	}{
		"all":           {func(*Config) {}, nil},
		"none":          {func(c *Config) { c.ACME = ACME{} }, nil},
		"no terms":      {func(c *Config) { c.ACME.AcceptTerms = false }, []string{"acme-accept-terms"}},
		"no HTTPS":      {func(c *Config) { c.IngressTLS = "" }, []string{"ingress-tls"}},
		"plain":         {func(c *Config) { c.ACME.Directory = "http://ca.example/directory" }, []string{"acme-directory"}},
		"user":          {func(c *Config) { c.ACME.Directory = "https://u:secret@ca.example" }, []string{"acme-directory"}},
		"no host":       {func(c *Config) { c.ACME.Directory = "https:///directory" }, []string{"acme-directory"}},
		"no URL":        {func(c *Config) { c.ACME.Directory = "https://%zz" }, []string{"acme-directory"}},
		"long":          {func(c *Config) { c.ACME.Directory += strings.Repeat("x", maxURL) }, []string{"acme-directory"}},
		"email":         {func(c *Config) { c.ACME.Email = "A <a@example.org>" }, []string{"acme-email"}},
		"email, no at":  {func(c *Config) { c.ACME.Email = "a" }, []string{"acme-email"}},
		"two":           {func(c *Config) { c.ACME.AcceptTerms, c.ACME.Email = false, "a" }, []string{"acme-accept-terms", "acme-email"}},
		"no directory":  {func(c *Config) { c.ACME.Directory, c.ACME.CAFile = "", "f" }, []string{"acme-email", "acme-ca", "acme-accept-terms"}},
		"terms of none": {func(c *Config) { c.ACME = ACME{AcceptTerms: true} }, []string{"acme-accept-terms"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid(t)
			cfg.ACME = ok
			c.change(&cfg)
			_, err := cfg.check()
			var got []string
			for _, f := range faultsOf(err) {
				if got = append(got, f.Field); strings.Contains(f.Got, "secret") {
					t.Errorf("it tells the password: %s", f.Got)
				}
			}
			if !slices.Equal(got, c.fields) || (err == nil) != (c.fields == nil) {
				t.Errorf("got %v, %v, want faults of %v", got, err, c.fields)
			}
		})
	}
	cfg := valid(t)
	cfg.ACME = ok
	for _, content := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		cfg.ACME.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(cfg.ACME.CAFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := cfg.check(); status.ReasonOf(err) != "provider.acme_ca" {
			t.Errorf("%q: got %v", content, err)
		}
	}
	cfg.ACME.CAFile += ".none"
	if _, err := cfg.check(); status.ReasonOf(err) != "provider.acme_ca" {
		t.Errorf("no file: got %v", err)
	}
}
