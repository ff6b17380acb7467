package p2p

import (
	"context"
	"math/rand/v2"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// ProvideValidity is how long a DHT server keeps a provider record. Short,
// because the DHT has no delete: a dead provider is asked for this long.
const ProvideValidity = 15 * time.Minute

const (
	bootstrapTimeout  = 15 * time.Second
	bootstrapRetryMin = time.Second
	bootstrapRetryMax = time.Minute
	// bootstrapCheck is how often an existing connection is looked at.
	bootstrapCheck = 20 * time.Second
)

// routing builds the DHT; libp2p calls it with the bare host.
func (n *Node) routing(h host.Host) (routing.PeerRouting, error) {
	mode := dht.ModeClient
	if n.set.Server {
		mode = dht.ModeServer
	}
	opts := []dht.Option{
		dht.Mode(mode),
		dht.ProtocolPrefix(n.set.prefix),
		dht.BootstrapPeers(n.set.bootstrap...),
		dht.ProviderManagerOpts(
			records.ProvideValidity(ProvideValidity),
			records.ProviderAddrTTL(ProvideValidity),
			records.CleanupInterval(ProvideValidity/3),
		),
	}
	if n.set.prefix == PublicDHTPrefix {
		// The public DHT is full of addresses that lead nowhere from here.
		opts = append(opts, dht.QueryFilter(dht.PublicQueryFilter), dht.RoutingTableFilter(dht.PublicRoutingTableFilter))
	}
	var err error
	n.dht, err = dht.New(h, opts...)
	return n.dht, err
}

// keepBootstrap connects to one bootstrap peer, again and again as the
// connection fails or is lost, until ctx ends.
func (n *Node) keepBootstrap(ctx context.Context, info peer.AddrInfo) {
	log := n.log.With("bootstrap", info.ID.String())
	delay, told := bootstrapRetryMin, false
	connected := func() bool { return n.host.Network().Connectedness(info.ID) == network.Connected }
	for {
		if !connected() {
			forgetFailures(n.host, info.ID)
			dial, cancel := context.WithTimeout(ctx, bootstrapTimeout)
			err := n.host.Connect(dial, info)
			cancel()
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				log.Info("bootstrap peer reached")
				n.host.ConnManager().Protect(info.ID, "bootstrap")
				n.dht.RefreshRoutingTable()
				told = false
			case !told:
				log.Warn("bootstrap peer cannot be reached, trying on", "error", err)
				told = true
			}
		}
		wait := delay
		if connected() {
			wait, delay = bootstrapCheck, bootstrapRetryMin
		} else {
			delay = min(2*delay, bootstrapRetryMax)
		}
		if !sleep(ctx, jitter(wait)) {
			return
		}
	}
}

// jitter spreads d by a quarter each way, so that a thousand nodes do not come
// back to a restarted bootstrap peer in the same second.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
