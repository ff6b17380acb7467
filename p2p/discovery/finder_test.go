package discovery_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p"
	"apocryph/p2p/discovery"
	"apocryph/p2p/p2ptest"
	"apocryph/proto/status"
)

// advertise runs an advertiser for a node until the test ends.
func advertise(t *testing.T, n *p2p.Node, dht bool, describe discovery.Advert) {
	t.Helper()
	cfg := discovery.AdvertiserConfig{
		Host: n.Host(), Key: key(n.Host()), Describe: func() discovery.Advert { return describe },
	}
	if dht {
		cfg.Routing = n.Routing()
	}
	a, err := discovery.NewAdvertiser(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func key(h host.Host) crypto.PrivKey { return h.Peerstore().PrivKey(h.ID()) }

func collect(seq iter.Seq[discovery.Advert]) []peer.ID {
	var ids []peer.ID
	for a := range seq {
		ids = append(ids, a.Peer)
	}
	return ids
}

func wantPeers(t *testing.T, got []peer.ID, want ...*p2p.Node) {
	t.Helper()
	var ids []peer.ID
	for _, n := range want {
		ids = append(ids, n.ID())
	}
	if diff := cmp.Diff(ids, got, cmpopts.SortSlices(func(a, b peer.ID) bool { return a < b }), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

var plain = discovery.Advert{TEE: "soft", RuntimeClasses: []string{"runc"}}

// TestFindThroughDHT: publisher and providers know a third node only.
func TestFindThroughDHT(t *testing.T) {
	nodes := p2ptest.Nodes(t, 4, p2ptest.Bootstrap(), p2ptest.Configure(func(i int, cfg *p2p.Config) {
		cfg.Server = i != 3
	}))
	soft, snp, publisher := nodes[1], nodes[2], nodes[3]
	advertise(t, soft, true, plain)
	advertise(t, snp, true, discovery.Advert{TEE: "sev-snp", Region: "eu", RuntimeClasses: []string{"runc", "gvisor"}})
	f := discovery.Finder{Host: publisher.Host(), Routing: publisher.Routing()}
	// The announcements are on their way: look until both are there.
	for {
		if got := collect(f.Find(t.Context(), discovery.Query{Timeout: 30 * time.Second})); len(got) == 2 {
			wantPeers(t, got, soft, snp)
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("not found")
		}
	}
	wantPeers(t, collect(f.Find(t.Context(), discovery.Query{TEE: "sev-snp"})), snp)
	wantPeers(t, collect(f.Find(t.Context(), discovery.Query{RuntimeClass: "gvisor"})), snp)
	wantPeers(t, collect(f.Find(t.Context(), discovery.Query{Region: "eu"})), snp)
	wantPeers(t, collect(f.Find(t.Context(), discovery.Query{TEE: "tdx", Timeout: time.Second})))
}

func TestFindWithoutDHT(t *testing.T) {
	nodes := p2ptest.Nodes(t, 4, p2ptest.Unconnected())
	named, lan, mute, publisher := nodes[0], nodes[1], nodes[2], nodes[3]
	advertise(t, named, false, plain)
	advertise(t, lan, false, plain)
	f := discovery.Finder{
		Host: publisher.Host(),
		LAN: func() []peer.AddrInfo {
			return []peer.AddrInfo{p2ptest.Info(lan), p2ptest.Info(mute), p2ptest.Info(publisher)}
		},
	}
	q := discovery.Query{Peers: []peer.AddrInfo{p2ptest.Info(named)}}
	wantPeers(t, collect(f.Find(t.Context(), q)), named, lan)
}

// TestFindFromCache: everything that led to the provider is gone.
func TestFindFromCache(t *testing.T) {
	nodes := p2ptest.Nodes(t, 3, p2ptest.Unconnected())
	provider, first, second := nodes[0], nodes[1], nodes[2]
	advertise(t, provider, false, plain)
	path := filepath.Join(t.TempDir(), "adverts")
	find := func(n *p2p.Node, q discovery.Query) []peer.ID {
		cache, err := discovery.OpenCache(path)
		if err != nil {
			t.Fatal(err)
		}
		f := discovery.Finder{Host: n.Host(), Routing: n.Routing(), Cache: cache}
		return collect(f.Find(t.Context(), q))
	}
	wantPeers(t, find(first, discovery.Query{Peers: []peer.AddrInfo{p2ptest.Info(provider)}}), provider)
	wantPeers(t, find(second, discovery.Query{}), provider)
}

func TestFindBreakEndsSearch(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	advertise(t, nodes[0], false, plain)
	f := discovery.Finder{Host: nodes[1].Host(), LAN: func() []peer.AddrInfo { return []peer.AddrInfo{p2ptest.Info(nodes[0])} }}
	for range f.Find(t.Context(), discovery.Query{}) {
		break
	}
}

// TestFindDropsBadAdverts: what peers answer is not believed.
func TestFindDropsBadAdverts(t *testing.T) {
	nodes := p2ptest.Nodes(t, 6)
	publisher, honest := nodes[0], nodes[1]
	advertise(t, honest, false, plain)
	stolen, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
		Host: honest.Host(), Key: key(honest.Host()), Describe: func() discovery.Advert { return plain },
	})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stolen.Current(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, envelope := range [][]byte{foreign, []byte("garbage"), nil} {
		t.Cleanup(discovery.Serve(nodes[2+i].Host(), func() []byte { return envelope }, nil))
	}
	var peers []peer.AddrInfo
	for _, n := range nodes[1:] {
		peers = append(peers, p2ptest.Info(n))
	}
	f := discovery.Finder{Host: publisher.Host()}
	wantPeers(t, collect(f.Find(t.Context(), discovery.Query{Peers: peers})), honest)
}

// TestFindOversizeAnswer and a peer that never answers do not hold the search.
func TestFindHostilePeers(t *testing.T) {
	nodes := p2ptest.Nodes(t, 4)
	publisher, honest := nodes[0], nodes[1]
	advertise(t, honest, false, plain)
	nodes[2].Host().SetStreamHandler(p2p.AdvertID, func(s network.Stream) {
		_, _ = s.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	})
	nodes[3].Host().SetStreamHandler(p2p.AdvertID, func(network.Stream) {})
	f := discovery.Finder{Host: publisher.Host()}
	q := discovery.Query{Peers: []peer.AddrInfo{p2ptest.Info(nodes[3]), p2ptest.Info(nodes[2]), p2ptest.Info(honest)}}
	start := time.Now()
	wantPeers(t, collect(f.Find(t.Context(), q)), honest)
	if d := time.Since(start); d > discovery.DefaultTimeout {
		t.Errorf("took %s", d)
	}
}

// TestServeSlowCaller: who says nothing is cut off, and stop does not wait for more.
func TestServeSlowCaller(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	stop := discovery.Serve(nodes[1].Host(), func() []byte { return []byte("x") }, nil)
	defer stop()
	for _, b := range [][]byte{{0xff, 0xff, 0x7f}, {0x05, 1}} {
		s, err := nodes[0].Host().NewStream(t.Context(), nodes[1].ID(), p2p.AdvertID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, network.ErrReset) {
			t.Errorf("after %x: %d, %v", b, n, err)
		}
	}
}

func TestAdvertiserConfig(t *testing.T) {
	_, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{Validity: time.Second})
	st, ok := err.(*status.Error)
	if !ok || len(st.Faults) != 4 {
		t.Errorf("got %v, want 4 faults", err)
	}
}

func TestAdvertiserRefusesBadDescription(t *testing.T) {
	n := p2ptest.Nodes(t, 1)[0]
	a, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
		Host: n.Host(), Key: key(n.Host()), Describe: func() discovery.Advert { return discovery.Advert{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestSeqGrows(t *testing.T) {
	n := p2ptest.Nodes(t, 1)[0]
	a, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
		Host: n.Host(), Key: key(n.Host()), Describe: func() discovery.Advert { return plain },
	})
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	start := time.Now()
	// The third clock reading is in the past.
	for _, at := range []time.Time{start, start.Add(time.Minute), start.Add(-time.Hour), start} {
		b, err := a.Current(at)
		if err != nil {
			t.Fatal(err)
		}
		ad, err := discovery.Open(b, n.ID(), at)
		if err != nil {
			t.Fatal(err)
		}
		if ad.Seq <= last {
			t.Errorf("seq %d after %d", ad.Seq, last)
		}
		last = ad.Seq
	}
}

type provides struct {
	fail  int
	times []time.Time
}

func (p *provides) Provide(context.Context, cid.Cid, bool) error {
	p.times = append(p.times, time.Now())
	if len(p.times) <= p.fail {
		return errors.New("no peers")
	}
	return nil
}

// TestReprovide: keys are announced again before their records end, and soon
// where it failed.
func TestReprovide(t *testing.T) {
	n := p2ptest.Nodes(t, 1)[0]
	synctest.Test(t, func(t *testing.T) {
		p := &provides{fail: 6}
		a, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
			Host: n.Host(), Key: key(n.Host()), Routing: p, Describe: func() discovery.Advert { return plain },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		discovery.Announce(ctx, a)
		const keys = 3 // all, tee, runtime class
		if len(p.times) < 3*keys+6 {
			t.Fatalf("%d announcements in an hour", len(p.times))
		}
		if d := p.times[2*keys].Sub(start); d > 10*time.Second {
			t.Errorf("third attempt after %s", d)
		}
		for i := 3 * keys; i < len(p.times); i += keys {
			if d := p.times[i].Sub(p.times[i-keys]); d >= p2p.ProvideValidity*2/3 || d < time.Minute {
				t.Errorf("announced again after %s", d)
			}
		}
	})
}
