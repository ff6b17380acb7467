package mesh

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"apocryph/p2p"
	"apocryph/p2p/discovery"
	"apocryph/p2p/p2ptest"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// bootstrap starts a node that all others know, and returns its address.
func bootstrap(t *testing.T) string {
	t.Helper()
	n := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Server: true})
	return n.Addrs()[0].String()
}

// advertises makes mallory findable. Forge, where there is one, makes what it
// hands out instead of its advert.
func (m *mallory) advertises(via string, forge func(discovery.Advert) []byte) {
	m.t.Helper()
	info, err := p2p.ParsePeer(via)
	must(m.t, err)
	must(m.t, m.node.Connect(m.t.Context(), info))
	announced := &announcer{Provider: m.node.Routing(), done: make(chan struct{})}
	advert := discovery.Advert{TEE: "soft", RuntimeClasses: []string{"runc"}, Software: "mallory", Platform: platform}
	ad, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
		Host: m.node.Host(), Key: m.key, Routing: announced, Describe: func() discovery.Advert { return advert },
	})
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ad.Run(ctx) }()
	m.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("the advertiser ended: %v", err)
		}
	})
	happens(m.t, "mallory is announced", announced.done)
	if forge == nil {
		return
	}
	advert.Peer, advert.Addrs, advert.Seq = m.node.ID(), m.node.Host().Addrs(), uint64(time.Now().UnixNano())
	advert.NotAfter = time.Now().Add(time.Hour).Truncate(time.Millisecond)
	envelope := forge(advert)
	m.t.Cleanup(discovery.Serve(m.node.Host(), func() []byte { return envelope }, nil))
}

// announcer closes done when the last key, that of the runtime class, was announced.
type announcer struct {
	discovery.Provider
	once sync.Once
	done chan struct{}
	keys int
}

// keysOfAnAdvert are "all", the kind of device and the runtime class.
const keysOfAnAdvert = 3

// Provide counts the keys that were announced.
func (a *announcer) Provide(ctx context.Context, key cid.Cid, announce bool) error {
	err := a.Provider.Provide(ctx, key, announce)
	if err == nil {
		a.keys++
	}
	if a.keys == keysOfAnAdvert {
		a.once.Do(func() { close(a.done) })
	}
	return err
}

// finds waits until a publisher has seen the adverts of peers.
func (a *author) finds(peers ...*publisher.Target) {
	a.t.Helper()
	eventually(a.t, "the providers are found", func() bool {
		var ids []publisher.ProviderID
		must(a.t, a.do(func(ctx context.Context, s *publisherd.Session) error {
			found, err := s.Find(ctx, publisher.Query{RuntimeClass: "runc"})
			for _, c := range found {
				ids = append(ids, c.ID)
			}
			return err
		}))
		return !slices.ContainsFunc(peers, func(p *publisher.Target) bool { return !slices.Contains(ids, p.ID) })
	})
}
