package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/status"
)

// Node is one libp2p host with its DHT.
type Node struct {
	set   settings
	log   *slog.Logger
	host  host.Host
	dht   *dht.IpfsDHT
	lan   lan
	ready chan struct{}

	closeOnce sync.Once
	closeErr  error
}

// New validates cfg, reporting all faults at once, and builds the host and the
// DHT without listening. libp2p starts a few goroutines here already; they end
// with [Node.Run], or with [Node.Close] where Run is never called.
func New(cfg Config) (*Node, error) {
	set, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	n := &Node{set: set, log: set.log, ready: make(chan struct{})}
	n.lan.found = make(chan peer.AddrInfo, maxLANDials)
	limits := clientLimits
	if set.Server {
		limits = serverLimits
	}
	resources, err := limits.resourceManager()
	if err != nil {
		return nil, fmt.Errorf("building resource manager: %w", err)
	}
	conns, err := limits.connManager()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("building connection manager: %w", err), resources.Close())
	}
	opts := []libp2p.Option{
		libp2p.Identity(set.Identity),
		libp2p.NoListenAddrs,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.Security(noise.ID, noise.New),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
		libp2p.UserAgent(set.UserAgent),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
		libp2p.EnableAutoNATv2(),
		libp2p.DisableMetrics(),
		libp2p.Routing(n.routing),
		// NoListenAddrs turns the relay client off; peers behind NAT need it to be dialled.
		libp2p.EnableRelay(),
	}
	if len(set.relays) > 0 {
		opts = append(opts,
			// Who names relays sits behind NAT. Otherwise they would be used only once a
			// peer with a public address had said so.
			libp2p.ForceReachabilityPrivate(),
			libp2p.EnableAutoRelayWithStaticRelays(set.relays),
			libp2p.EnableHolePunching(),
		)
	}
	n.host, err = libp2p.New(opts...)
	if err != nil {
		if n.dht != nil {
			err = errors.Join(err, n.dht.Close())
		}
		return nil, fmt.Errorf("building libp2p host: %w", err)
	}
	return n, nil
}

// Run listens on every configured address, keeps up the connections to the
// bootstrap peers and serves until ctx ends; then it closes everything and
// returns nil. It returns an error that names the address where one cannot be
// bound. It is called once.
func (n *Node) Run(ctx context.Context) error {
	if err := listenAll(n.host.Network(), n.set.listen); err != nil {
		return errors.Join(err, n.Close())
	}
	var wg sync.WaitGroup
	for _, info := range n.set.bootstrap {
		if info.ID != n.host.ID() {
			wg.Go(func() { n.keepBootstrap(ctx, info) })
		}
	}
	var mdns service
	if n.set.MDNS {
		mdns = n.startMDNS()
		wg.Go(func() { n.dialLAN(ctx) })
	}
	close(n.ready)
	n.log.Info("network ready", "peer_id", n.host.ID().String(), "addrs", n.host.Network().ListenAddresses())
	<-ctx.Done()
	if mdns != nil {
		// Closing can only fail to say goodbye on the network.
		_ = mdns.Close()
	}
	wg.Wait()
	return n.Close()
}

// Close closes the DHT, the host and all connections. [Node.Run] does so
// itself; calling it twice is harmless.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		n.closeErr = errors.Join(n.dht.Close(), n.host.Close())
	})
	return n.closeErr
}

// Ready is closed when the node listens on all its addresses.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Host is the libp2p host. It finds the addresses of peers that it knows only
// the id of through the DHT. Handlers may be set before Run.
func (n *Node) Host() host.Host { return n.host }

// ID is this node's peer id.
func (n *Node) ID() peer.ID { return n.host.ID() }

// Addrs are the addresses that this node tells others, each with /p2p/ID. Port
// 0 has become the real port once [Node.Ready] is closed.
func (n *Node) Addrs() []multiaddr.Multiaddr {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	if err != nil {
		return nil // only for an id that is no multihash, which ours is
	}
	return addrs
}

// Routing is the DHT.
func (n *Node) Routing() routing.Routing { return n.dht }

// Connect makes sure that there is a connection to a peer. Without addresses
// in info, those that mDNS announced and those that the DHT knows are tried.
func (n *Node) Connect(ctx context.Context, info peer.AddrInfo) error {
	if info.ID == n.host.ID() {
		return status.New(status.InvalidArgument, "peer.self", "peer %s is this node itself", info.ID)
	}
	return Dial(ctx, n.host, info)
}
