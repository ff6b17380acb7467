package p2p

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// lanService is the DNS-SD service type (RFC 6763, 7) of nodes.
const lanService = "_apocryph._udp"

const (
	// maxLAN bounds the peers remembered, and maxLANAddrs the addresses of one:
	// anyone on the network can announce as many as they like.
	maxLAN      = 256
	maxLANAddrs = 16
	// maxLANDials bounds the announced peers that wait to be connected to.
	maxLANDials = 16
	// lanEnough is with how many connected peers no more are sought on the LAN.
	lanEnough      = 32
	lanDialTimeout = 5 * time.Second
)

// service is mdns.Service.
type service interface {
	Start() error
	io.Closer
}

// lan remembers the peers that mDNS announced, newest last.
type lan struct {
	mu    sync.Mutex
	peers []peer.AddrInfo
	found chan peer.AddrInfo
}

// HandlePeerFound implements mdns.Notifee. It never blocks: the library calls
// it on goroutines that nobody joins.
func (l *lan) HandlePeerFound(info peer.AddrInfo) {
	info.Addrs = slices.Clone(info.Addrs[:min(len(info.Addrs), maxLANAddrs)])
	l.mu.Lock()
	l.peers = slices.DeleteFunc(l.peers, func(p peer.AddrInfo) bool { return p.ID == info.ID })
	l.peers = append(l.peers, info)
	if len(l.peers) > maxLAN {
		l.peers = slices.Delete(l.peers, 0, 1)
	}
	l.mu.Unlock()
	select {
	case l.found <- info:
	default:
	}
}

// LAN returns the peers that mDNS has found so far, at most 256, with the
// addresses that they announced. Nothing of it is authenticated.
func (n *Node) LAN() []peer.AddrInfo {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	return slices.Clone(n.lan.peers)
}

// startMDNS returns nil where mDNS cannot run: no multicast is no reason not to serve.
func (n *Node) startMDNS() service {
	s := mdns.NewMdnsService(n.host, lanService, &n.lan)
	if err := s.Start(); err != nil {
		n.log.Warn("mdns unavailable, the local network will not be searched", "error", err)
		_ = s.Close()
		return nil
	}
	return s
}

// dialLAN connects to announced peers while there are few connections, so that
// a DHT forms on a local network without any bootstrap peer.
func (n *Node) dialLAN(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case info := <-n.lan.found:
			if len(n.host.Network().Peers()) >= lanEnough {
				continue
			}
			dial, cancel := context.WithTimeout(ctx, lanDialTimeout)
			err := n.host.Connect(dial, info)
			cancel()
			n.log.Debug("peer found on local network", "peer", info.ID.String(), "connected", err == nil)
		}
	}
}
