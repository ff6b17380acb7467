package publisherd

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"apocryph/manifest/offer"
	"apocryph/p2p"
	"apocryph/p2p/discovery"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// connectTimeout bounds finding and dialling one provider.
const connectTimeout = 20 * time.Second

// ParseTarget reads a PROVIDER argument: a peer id, or a multiaddr that ends in /p2p/ID.
func ParseTarget(s string) (publisher.Target, error) {
	info, err := p2p.ParsePeer(s)
	if err != nil {
		return publisher.Target{}, err
	}
	return target(info), nil
}

func target(info peer.AddrInfo) publisher.Target {
	t := publisher.Target{ID: publisher.ProviderID(info.ID.String())}
	for _, a := range info.Addrs {
		t.Addrs = append(t.Addrs, a.String())
	}
	return t
}

// reach is a [publisher.Finder] and a [publisher.Connection] on libp2p.
type reach struct {
	node   *p2p.Node
	finder *discovery.Finder
	cache  *discovery.Cache
}

// Find yields the providers that the DHT, the local network and the cache know.
func (n *reach) Find(ctx context.Context, q publisher.Query, found func(publisher.Candidate)) error {
	for a := range n.finder.Find(ctx, discovery.Query{TEE: q.TEE, Region: q.Region, RuntimeClass: q.RuntimeClass}) {
		found(candidate(a))
	}
	return nil
}

func candidate(a discovery.Advert) publisher.Candidate {
	c := publisher.Candidate{
		Target: target(a.Info()), TEE: a.TEE, Region: a.Region, Platform: a.Platform, Asset: a.Asset,
		CPUMillis: a.Resources.CPUMillis, Memory: a.Resources.MemoryBytes, Disk: a.Resources.DiskBytes, GPUs: a.Resources.GPUs,
		Software: a.Software, NotAfter: a.NotAfter,
	}
	for _, p := range a.Prices {
		c.Prices = append(c.Prices, offer.Price(p))
	}
	return c
}

// Connect dials a provider: at the addresses given, at those of cached
// adverts, or at those that the DHT knows.
func (n *reach) Connect(ctx context.Context, t publisher.Target) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	id, err := peer.Decode(string(t.ID))
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "provider.id", "%.80q is no peer id", t.ID)
	}
	if n.node.Host().Network().Connectedness(id) == network.Connected {
		return []byte(id), nil
	}
	info := peer.AddrInfo{ID: id}
	for _, a := range t.Addrs {
		m, err := multiaddr.NewMultiaddr(a)
		if err != nil {
			return nil, status.Wrap(err, status.InvalidArgument, "provider.addr", "%.120q is no multiaddr", a)
		}
		info.Addrs = append(info.Addrs, m)
	}
	dialErr := error(nil)
	if len(info.Addrs) > 0 {
		if dialErr = n.node.Connect(ctx, info); dialErr == nil {
			return []byte(id), nil
		}
	}
	if n.lookUp(ctx, id) {
		return []byte(id), nil
	}
	if dialErr != nil {
		return nil, fmt.Errorf("connecting to the provider: %w", dialErr)
	}
	return nil, status.New(status.Unavailable, "provider.unreachable", "no address of provider %s is known", id).
		WithHint("give its multiaddr, or a DHT node with --bootstrap")
}

// lookUp tries what the cache and the DHT know of a peer.
func (n *reach) lookUp(ctx context.Context, id peer.ID) bool {
	for _, hint := range n.cache.Hints() {
		if hint.ID == id && n.node.Connect(ctx, hint) == nil {
			return true
		}
	}
	for _, near := range n.node.LAN() {
		if near.ID == id && n.node.Connect(ctx, near) == nil {
			return true
		}
	}
	info, err := n.node.Routing().FindPeer(ctx, id)
	return err == nil && n.node.Connect(ctx, info) == nil
}
