package mesh

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"apocryph/manifest/offer"
	"apocryph/p2p/discovery"
	"apocryph/p2p/p2ptest"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
)

// prices is a price list of a provider that is not free.
const prices = "asset: USD\nprices: {cpu: 1/hour, memory: 1/hour}\npayment: {schemes: [evm-channel], address: \"eip155:1:0x00000000000000000000000000000000000000aa\"}\n"

// TestDiscovery: without a provider named, an app goes to the cheapest one that
// passes the policy. A free one on another machine fails it, and who has no
// advert of its own that is good now is not even asked.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	via := bootstrap(t)
	known := func(c *providerd.Config) { c.Bootstrap = []string{via} }
	free := newHost(t, known)
	paid := newHost(t, known, func(c *providerd.Config) {
		c.PricesFile = filepath.Join(c.DataDir, "prices.yaml")
		must(t, os.WriteFile(c.PricesFile, []byte(prices), 0o600))
	})
	foreign := newHost(t, known, func(c *providerd.Config) { copyMachine(t, machines.foreign, filepath.Join(c.DataDir, "soft")) })
	expired, borrowed, forged := newMallory(t, nil), newMallory(t, nil), newMallory(t, nil)
	expired.advertises(via, func(a discovery.Advert) []byte {
		a.NotAfter = a.NotAfter.Add(-2 * time.Hour)
		b, err := discovery.Seal(a, expired.key, a.NotAfter.Add(-time.Hour))
		must(t, err)
		return b
	})
	borrowed.advertises(via, func(a discovery.Advert) []byte {
		key := p2ptest.Key(t)
		a.Peer = peerOf(t, key)
		b, err := discovery.Seal(a, key, time.Now())
		must(t, err)
		return b
	})
	forged.advertises(via, func(a discovery.Advert) []byte {
		b, err := discovery.Seal(a, forged.key, time.Now())
		must(t, err)
		b[len(b)-1] ^= 1 // within the signature
		return b
	})

	a := newAuthor(t, via)
	pol := a.policy(free.target(), paid.target())
	a.finds(free.target(), paid.target(), foreign.target())
	d, err := a.deploy(t.Context(), job{manifest: app("nomad", image(t, 1<<10)), policy: pol})
	must(t, err)
	if d.App.Provider.ID != free.target().ID {
		t.Errorf("it went to %s, want the free one %s", d.App.Provider.ID, free.info.PeerID)
	}
	for _, m := range []*mallory{expired, borrowed, forged} {
		if calls := m.calls(); len(calls) != 0 {
			t.Errorf("a peer without a good advert was asked %q", calls)
		}
	}
	must(t, a.delete(free.target(), "nomad"))

	// Only the foreign one is left: "no" weighs more than "not now".
	free.stop()
	paid.stop()
	_, err = a.deploy(t.Context(), job{manifest: app("nomad", image(t, 1<<10)), policy: pol})
	refused(t, err, status.Untrusted, "providers.none_passes")
	foreign.clean()
	if apps := a.apps(); len(apps) != 0 {
		t.Errorf("the publisher remembers %+v", apps)
	}
}

// TestFullProviderIsSkipped: one that is full when it is asked, and one that
// says so when the order comes, give way to the next.
func TestFullProviderIsSkipped(t *testing.T) {
	t.Parallel()
	via := bootstrap(t)
	full := newHost(t, func(c *providerd.Config) { c.Bootstrap = []string{via} })
	tenant, a := newAuthor(t), newAuthor(t, via)
	pol := tenant.policy(full.target())
	_, err := tenant.deploy(t.Context(), job{manifest: large("big", image(t, 1<<10), full.cores()), to: full.target(), policy: pol})
	must(t, err)
	// The cheaper one offers and refuses then, the dearer one takes it.
	changed := newMallory(t, nil)
	next := newMallory(t, func(m *mallory) {
		m.offer = func(o *offer.Offer) { o.Asset, o.TotalPerHour = "USD", "1" }
		m.provision = m.accepts
	})
	changed.advertises(via, nil)
	next.advertises(via, nil)
	a.finds(full.target(), changed.target(), next.target())
	d, err := a.deploy(t.Context(), job{manifest: app("nomad", image(t, 1<<10)), policy: pol})
	must(t, err)
	if d.App.Provider.ID != next.target().ID || d.PricePerHour != "1" {
		t.Errorf("it went to %s for %s, want %s", d.App.Provider.ID, d.PricePerHour, next.node.ID())
	}
	if n := len(changed.provisions()); n != 1 {
		t.Errorf("the cheaper one got %d orders", n)
	}
	if apps := a.apps(); len(apps) != 1 || apps[0].Provider.ID != next.target().ID || apps[0].Pending != nil {
		t.Errorf("the publisher remembers %+v", apps)
	}
	if pods := full.pods(); len(pods) != 1 {
		t.Errorf("the full one has %+v", pods)
	}
	must(t, tenant.delete(full.target(), "big"))
	full.clean()
}
