package p2p

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func TestLimitsFitTogether(t *testing.T) {
	for name, l := range map[string]limitSet{"server": serverLimits, "client": clientLimits} {
		if l.high >= l.conns/2/2 || l.low >= l.high {
			t.Errorf("%s: the connection manager trims at %d, inbound limit is %d", name, l.high, l.conns/2)
		}
		c := l.config().ToPartialLimitConfig()
		if int(c.System.ConnsInbound) != l.conns/2 {
			t.Errorf("%s: inbound connections %d", name, c.System.ConnsInbound)
		}
		for _, p := range Protocols() {
			if got := int(c.ProtocolPeer[p.ID].StreamsInbound); got != 2*p.PerPeer {
				t.Errorf("%s: %s: %d streams of a peer, want %d", name, p.ID, got, 2*p.PerPeer)
			}
			if got := int(c.Protocol[p.ID].StreamsInbound); got != 2*p.Total {
				t.Errorf("%s: %s: %d streams, want %d", name, p.ID, got, 2*p.Total)
			}
			if p.Alias != "" && c.ProtocolPeer[p.Alias] != c.ProtocolPeer[p.ID] {
				t.Errorf("%s: %s has other limits", name, p.Alias)
			}
		}
	}
}

// TestConnsOfOneAddress: a machine far away gets its share and no more; loopback all.
func TestConnsOfOneAddress(t *testing.T) {
	m, err := clientLimits.resourceManager()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	open := func(addr string, n int) (got int) {
		for range n {
			s, err := m.OpenConnection(network.DirInbound, false, multiaddr.StringCast(addr))
			if err != nil {
				return got
			}
			defer s.Done()
			got++
		}
		return got
	}
	if got := open("/ip4/192.0.2.1/tcp/1", clientLimits.perIP+1); got != clientLimits.perIP {
		t.Errorf("%d connections of one address, want %d", got, clientLimits.perIP)
	}
	if got := open("/ip6/2001:db8::1/tcp/1", clientLimits.perIP+1); got != clientLimits.perIP {
		t.Errorf("%d connections of one /56, want %d", got, clientLimits.perIP)
	}
	if got := open("/ip4/127.0.0.1/tcp/1", clientLimits.perIP+1); got != clientLimits.perIP+1 {
		t.Errorf("%d connections of loopback", got)
	}
}

func TestRankDials(t *testing.T) {
	const id = "12D3KooWBBPnzxbBmhT3bAs8tiDVJfzb1tpsRPVNw1dKZi4rcH5R"
	var addrs []multiaddr.Multiaddr
	for _, a := range []string{
		"/ip4/192.0.2.1/udp/1/quic-v1", "/ip4/192.0.2.1/tcp/1",
		"/ip4/192.0.2.9/tcp/1/p2p/" + id + "/p2p-circuit",
	} {
		addrs = append(addrs, multiaddr.StringCast(a))
	}
	var got []string
	for _, d := range rankDials(addrs) {
		got = append(got, fmt.Sprint(d.Addr.Protocols()[len(d.Addr.Protocols())-1].Name, " ", d.Delay > 0))
	}
	if diff := cmp.Diff([]string{"tcp false", "quic-v1 true", "p2p-circuit true"}, got); diff != "" {
		t.Error(diff)
	}
	if only := rankDials(addrs[:1]); len(only) != 1 || only[0].Delay != 0 {
		t.Errorf("QUIC alone is delayed: %v", only)
	}
}

// TestLANIsBounded: a machine that announces thousands of peers displaces the
// oldest, and never blocks.
func TestLANIsBounded(t *testing.T) {
	n := &Node{lan: lan{found: make(chan peer.AddrInfo, 1)}}
	addr := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")
	many := make([]multiaddr.Multiaddr, 100)
	for i := range many {
		many[i] = addr
	}
	for i := range 2 * maxLAN {
		n.lan.HandlePeerFound(peer.AddrInfo{ID: peer.ID(fmt.Sprint(i)), Addrs: many})
	}
	n.lan.HandlePeerFound(peer.AddrInfo{ID: peer.ID(fmt.Sprint(2*maxLAN - 2)), Addrs: many[:1]})
	got := n.LAN()
	if len(got) != maxLAN || got[0].ID != peer.ID(fmt.Sprint(maxLAN)) || len(got[0].Addrs) != maxLANAddrs {
		t.Errorf("%d peers, first %q with %d addresses", len(got), string(got[0].ID), len(got[0].Addrs))
	}
	if last := got[len(got)-1]; last.ID != peer.ID(fmt.Sprint(2*maxLAN-2)) || len(last.Addrs) != 1 {
		t.Errorf("a peer that was announced again is %q with %d addresses", string(last.ID), len(last.Addrs))
	}
}
