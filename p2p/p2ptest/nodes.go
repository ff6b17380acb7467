package p2ptest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p"
)

// startTimeout bounds how long nodes take to start and connect; on a loaded
// machine it is seconds.
const startTimeout = 30 * time.Second

type options struct {
	bootstrap, unconnected bool
	configure              func(i int, cfg *p2p.Config)
}

// Option changes what [Nodes] makes.
type Option func(*options)

// Bootstrap gives all nodes the first one's address as their bootstrap peer
// and connects nothing else.
func Bootstrap() Option { return func(o *options) { o.bootstrap = true } }

// Unconnected leaves the nodes alone: none knows another.
func Unconnected() Option { return func(o *options) { o.unconnected = true } }

// Configure changes the configuration of node i before it is made.
func Configure(f func(i int, cfg *p2p.Config)) Option {
	return func(o *options) { o.configure = f }
}

// Nodes starts n DHT servers on loopback TCP and returns when they are
// connected, each with each or as the options say. They end with the test.
func Nodes(t testing.TB, n int, opts ...Option) []*p2p.Node {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	nodes := make([]*p2p.Node, 0, n)
	for i := range n {
		cfg := p2p.Config{
			Identity: Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Server: true, UserAgent: "p2ptest",
		}
		if o.bootstrap && i > 0 {
			cfg.Bootstrap = []string{nodes[0].Addrs()[0].String()}
		}
		if o.configure != nil {
			o.configure(i, &cfg)
		}
		nodes = append(nodes, Start(t, cfg))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for i, a := range nodes {
		for j, b := range nodes[:i] {
			switch {
			case o.unconnected:
			case !o.bootstrap:
				if err := a.Connect(ctx, Info(b)); err != nil {
					t.Fatalf("connecting nodes: %v", err)
				}
			case j == 0:
				waitConnected(ctx, t, a, b.ID())
			}
		}
	}
	return nodes
}

// Start runs one node until the test ends, and returns when it listens.
func Start(t testing.TB, cfg p2p.Config) *p2p.Node {
	t.Helper()
	n, err := p2p.New(cfg)
	if err != nil {
		t.Fatalf("making node: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("node ended: %v", err)
		}
	})
	select {
	case <-n.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("starting node: %v", err)
	case <-time.After(startTimeout):
		t.Fatal("node did not start")
	}
	return n
}

// Key makes an Ed25519 identity.
func Key(t testing.TB) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatalf("making key: %v", err)
	}
	return key
}

// Info is how another node reaches n.
func Info(n *p2p.Node) peer.AddrInfo {
	return peer.AddrInfo{ID: n.ID(), Addrs: n.Host().Addrs()}
}

func waitConnected(ctx context.Context, t testing.TB, n *p2p.Node, id peer.ID) {
	t.Helper()
	changed := make(chan struct{}, 1)
	watch := &network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}}
	n.Host().Network().Notify(watch)
	defer n.Host().Network().StopNotify(watch)
	for n.Host().Network().Connectedness(id) != network.Connected {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("node %s did not connect to %s", n.ID(), id)
		}
	}
}
