package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/x/rate"
)

// limitSet is what separates a provider's limits from a publisher's.
type limitSet struct {
	// conns and streams are totals; half of the conns may come from outside.
	conns, streams int
	// memory bounds what frames, stream windows and DHT messages may reserve, in bytes.
	memory int64
	// low and high are between what the connection manager trims to and at. high
	// stays under half of the inbound limit: otherwise a flood of idle
	// connections is refused before it is trimmed, and real peers with it.
	low, high int
	// perIP bounds connections of one IPv4 address or IPv6 /56: one machine cannot
	// take all of them, and an office behind one NAT still fits. Loopback is exempt.
	perIP int
}

var (
	serverLimits = limitSet{conns: 4096, streams: 16384, memory: 512 << 20, low: 384, high: 768, perIP: 64}
	clientLimits = limitSet{conns: 512, streams: 4096, memory: 256 << 20, low: 48, high: 96, perIP: 16}
)

const (
	// connGrace is how long a new connection is safe from trimming: time enough to
	// say what it is for.
	connGrace = 30 * time.Second
	// peerConns bounds the connections of one peer: some in parallel for bulk, on
	// TCP and QUIC, and both directions at once while holes are punched.
	peerConns = 16
	// peerStreams bounds all streams of one peer, against one who opens them and
	// lets them lie. Bitswap opens one for every message.
	peerStreams = 512
	// peerMemory bounds what one peer can make this node reserve, in bytes.
	peerMemory = 128 << 20
	// connMemory is the same for one connection: yamux windows grow to 16 MiB.
	connMemory = 64 << 20
	// transientStreams and transientMemory bound what has connected and not yet
	// said who it is or which protocol it wants: a flood of half-open handshakes.
	transientStreams = 1024
	transientMemory  = 64 << 20
	// otherStreams bounds each protocol that is not in the table (identify, ping,
	// the DHT, bitswap), otherPeerStreams the same from one peer.
	otherStreams     = 4096
	otherPeerStreams = 256
)

func (l limitSet) config() rcmgr.ConcreteLimitConfig {
	val := func(n int) rcmgr.LimitVal { return rcmgr.LimitVal(n) }
	// What this node itself opens is limited only against its own faults.
	streams := func(in, out int, memory int64) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Streams: val(in + out), StreamsInbound: val(in), StreamsOutbound: val(out),
			Memory: rcmgr.LimitVal64(memory),
		}
	}
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: val(l.conns), ConnsInbound: val(l.conns / 2), ConnsOutbound: val(l.conns / 2), FD: val(l.conns),
			Streams: val(l.streams), StreamsInbound: val(l.streams / 2), StreamsOutbound: val(l.streams / 2),
			Memory: rcmgr.LimitVal64(l.memory),
		},
		Transient: rcmgr.ResourceLimits{
			Conns: val(l.conns / 8), ConnsInbound: val(l.conns / 16), ConnsOutbound: val(l.conns / 16), FD: val(l.conns / 8),
			Streams: transientStreams, StreamsInbound: transientStreams / 2, StreamsOutbound: transientStreams / 2,
			Memory: transientMemory,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: peerConns, ConnsInbound: peerConns / 2, ConnsOutbound: peerConns / 2, FD: peerConns,
			Streams: 2 * peerStreams, StreamsInbound: peerStreams, StreamsOutbound: peerStreams,
			Memory: peerMemory,
		},
		Conn:                rcmgr.ResourceLimits{Memory: connMemory},
		ProtocolDefault:     streams(otherStreams, otherStreams, l.memory/2),
		ProtocolPeerDefault: streams(otherPeerStreams, otherPeerStreams, peerMemory/2),
		Protocol:            map[protocol.ID]rcmgr.ResourceLimits{},
		ProtocolPeer:        map[protocol.ID]rcmgr.ResourceLimits{},
	}
	for _, p := range Protocols() {
		for _, id := range []protocol.ID{p.ID, p.Alias} {
			if id == "" {
				continue
			}
			partial.Protocol[id] = streams(2*p.Total, otherStreams, min(int64(p.Total)*p.Memory, l.memory/2))
			partial.ProtocolPeer[id] = streams(2*p.PerPeer, otherPeerStreams, min(2*int64(p.PerPeer)*p.Memory, peerMemory))
		}
	}
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	return partial.Build(defaults.AutoScale())
}

func (l limitSet) resourceManager() (network.ResourceManager, error) {
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.config()),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.perIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: l.perIP}, {PrefixLength: 48, ConnCount: 4 * l.perIP}},
		),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			// A network prefix without a rate is not limited.
			NetworkPrefixLimits: loopback(),
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 4, Burst: 2 * l.perIP}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: rate.Limit{RPS: 4, Burst: 2 * l.perIP}}},
				GracePeriod:      time.Minute,
			},
		}),
	)
}

func (l limitSet) connManager() (*connmgr.BasicConnMgr, error) {
	return connmgr.NewConnManager(l.low, l.high, connmgr.WithGracePeriod(connGrace))
}
