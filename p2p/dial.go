package p2p

import (
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/multiformats/go-multiaddr"
)

// quicDelay is how long a direct TCP address is tried before QUIC joins: about
// one round trip (RFC 8305, 8).
const quicDelay = 250 * time.Millisecond

// rankDials dials direct TCP addresses first. Over TCP bulk was measured at
// twice the speed of QUIC and more; QUIC stays for machines that only it
// reaches. The rest keeps libp2p's order.
func rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	tcp, rest := []multiaddr.Multiaddr{}, []multiaddr.Multiaddr{}
	for _, a := range addrs {
		if isDirectTCP(a) {
			tcp = append(tcp, a)
		} else {
			rest = append(rest, a)
		}
	}
	first := swarm.DefaultDialRanker(tcp)
	then := swarm.DefaultDialRanker(rest)
	if len(first) > 0 {
		for i := range then {
			then[i].Delay += quicDelay
		}
	}
	return slices.Concat(first, then)
}

// forgetFailures lets a peer be dialled at once that could not be reached a
// moment ago: libp2p would refuse to try for seconds. Who calls it paces itself.
func (n *Node) forgetFailures(id peer.ID) {
	if s, ok := n.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(id)
	}
}

func isDirectTCP(a multiaddr.Multiaddr) bool {
	tcp := false
	for _, p := range a.Protocols() {
		switch p.Code {
		case multiaddr.P_CIRCUIT:
			return false
		case multiaddr.P_TCP:
			tcp = true
		}
	}
	return tcp
}

func loopback() []rate.PrefixLimit {
	return []rate.PrefixLimit{
		{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
		{Prefix: netip.MustParsePrefix("::1/128")},
	}
}
