package ingress

import (
	"crypto/tls"
	"net/http"
	"slices"
	"testing"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestClaims: a claimed host has the rules of a pod's own, the first holder keeps
// it, and it is served as soon as an alias leads it somewhere.
func TestClaims(t *testing.T) {
	i := run(t, func(c *Config) { c.CustomHosts = []string{"*.example.org"} })
	refused := func(host, owner string, code status.Code) {
		t.Helper()
		if err := i.ClaimHost(host, owner); status.CodeOf(err) != code {
			t.Errorf("%q for %s: got %v", host, owner, err)
		}
	}
	for _, host := range []string{"", "shop", "192.0.2.1", "Shop.example.org", "a..example.org", "*.example.org", "-a.example.org"} {
		refused(host, "a", status.InvalidArgument)
	}
	for _, host := range []string{"x.localhost", "api.localhost", "localhost", "example.org", "shop.example.net"} {
		if err := i.ClaimHost(host, "a"); err == nil {
			t.Errorf("%s is claimed", host)
		}
	}
	for range 2 {
		if err := i.ClaimHost("shop.example.org", "a"); err != nil {
			t.Fatal(err)
		}
	}
	refused("shop.example.org", "b", status.Conflict)
	m := app(manifest.Port{TargetPort: 80, Protocol: manifest.HTTP, Host: "shop.example.org"})
	if _, err := i.Assign("publisher", podID, m, nil); status.CodeOf(err) != status.Conflict {
		t.Errorf("a pod gets the name: %v", err)
	}
	i.ReleaseHost("shop.example.org", "b")
	refused("shop.example.org", "b", status.Conflict)
	i.ReleaseHost("shop.example.org", "a")
	if _, err := i.Assign("publisher", podID, m, nil); err != nil {
		t.Fatal(err)
	}
	refused("shop.example.org", "a", status.Conflict)
	i.ReleaseHost("shop.example.org", string(podID))
	refused("shop.example.org", "a", status.Conflict)
}

// TestClaimedHostHasCertificate: one that leads nowhere has none.
func TestClaimedHostHasCertificate(t *testing.T) {
	i := run(t, func(c *Config) { c.CustomHosts = []string{"*"} })
	port := backend(t, "127.0.0.1", 0, http.NotFoundHandler())
	endpoints := assign(t, i, app(httpPort(port)))
	i.SetAliases(map[string]provider.Alias{"shop.example.org": {Pod: podID, Name: "app shop"}, "gone.example.org": {Pod: "pod-b", Name: "app b"}})
	if slices.Contains(i.Hosts(), "shop.example.org") {
		t.Error("a pod that does not run gets a certificate")
	}
	if err := i.Publish(podID, endpoints, []provider.Backend{{Addr: "127.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	if got := i.Hosts(); !slices.Contains(got, "shop.example.org") || slices.Contains(got, "gone.example.org") {
		t.Errorf("got %v", got)
	}
	i.cfg.Certificates = anyCertificate{}
	for host, ok := range map[string]bool{"shop.example.org": true, "gone.example.org": false, "other.example.org": false, "x.localhost": true} {
		if _, err := i.certificate(&tls.ClientHelloInfo{ServerName: host}); (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}

type anyCertificate struct{}

func (anyCertificate) Certificate(string) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
