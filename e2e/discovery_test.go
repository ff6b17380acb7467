package e2e

import (
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// TestNoAddressesGiven: two providers and a publisher as separate processes
// with a DHT bootstrap node; the publisher finds the cheaper one, deploys,
// looks, updates and deletes without ever naming a provider.
func TestNoAddressesGiven(t *testing.T) {
	w := harness.New(t)
	prices := w.Write("prices.yaml", "asset: USD\nprices: {cpu: 1/hour, memory: 1/hour}\npayment: {schemes: [evm-channel], address: \"eip155:1:0x00000000000000000000000000000000000000aa\"}\n")
	first := w.Provider("first", "--prices", prices, "--region", "north")
	second := w.Provider("second", "--bootstrap", first.Addr(), "--region", "south")
	pub := w.Publisher("publisher")
	pol := pub.Policy(first, second)
	via := []string{"--bootstrap", first.Addr()}
	harness.Eventually(t, "both are found", func() bool {
		r := pub.Must(append([]string{"providers"}, via...)...)
		return strings.Contains(r.Stdout, first.Info.PeerID) && strings.Contains(r.Stdout, second.Info.PeerID)
	})
	r := pub.Must(append([]string{"providers", "--region", "south"}, via...)...)
	if strings.Contains(r.Stdout, first.Info.PeerID) || !strings.Contains(r.Stdout, second.Info.PeerID) {
		t.Errorf("by region:\n%s", r.Stdout)
	}
	r = pub.Must(append([]string{"providers", "--max-price", "0.5"}, via...)...)
	if strings.Contains(r.Stdout, first.Info.PeerID) {
		t.Errorf("by price:\n%s", r.Stdout)
	}

	file := w.Write("app.yaml", app("nomad", w.Image(0, 1), "env: {GREETING: one}"))
	res := pub.Must(append([]string{"deploy", file, "--policy", pol, "--json"}, via...)...).Object(t)
	if res["provider"] != second.Info.PeerID {
		t.Fatalf("deployed to %v, want the free one", res["provider"])
	}
	address := res["url"].(string)
	answers(t, second, address, "one from nomad")
	second.Kill()
	second.Start()
	answers(t, second, address, "one from nomad")
	w.Write("app.yaml", app("nomad", w.Image(0, 1), "env: {GREETING: two}"))
	pub.Must(append([]string{"deploy", file, "--policy", pol}, via...)...)
	answers(t, second, address, "two from nomad")
	if st := pub.Must("status", "nomad", "--json").Object(t); st["revision"] != 2.0 {
		t.Errorf("status: %v", st)
	}
	pub.Must("delete", "nomad")
}

// TestLocalNetwork: processes that were told of nobody find each other by
// multicast.
func TestLocalNetwork(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--no-mdns=false", "--listen", "/ip4/0.0.0.0/tcp/0")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	lan := []string{"--no-mdns=false", "--listen", "/ip4/0.0.0.0/tcp/0"}
	file := w.Write("app.yaml", app("near", w.Image(0, 1), "env: {GREETING: hi}"))
	res := pub.Must(append([]string{"deploy", file, "--policy", pol, "--json"}, lan...)...).Object(t)
	if res["provider"] != p.Info.PeerID {
		t.Errorf("deployed to %v", res["provider"])
	}
	answers(t, p, res["url"].(string), "hi from near")
	pub.Must("delete", "near")
}
