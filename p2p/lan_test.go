package p2p_test

import (
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
)

// TestLAN: two nodes that know nothing find each other by multicast and connect.
func TestLAN(t *testing.T) {
	start := func() *p2p.Node {
		return p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), MDNS: true, Server: true})
	}
	a := start()
	if !multicast(t) {
		// Nothing to find anybody with: the node has started all the same, and what
		// it would be told is put in by hand.
		b := start()
		p2p.Announced(a, p2ptest.Info(b))
		connect(t, a, b.ID())
		return
	}
	connected := make(chan network.Conn, 64)
	watch := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { connected <- c }}
	a.Host().Network().Notify(watch)
	defer a.Host().Network().StopNotify(watch)
	b := start()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case c := <-connected:
			// Other nodes may be on this network.
			if c.RemotePeer() != b.ID() {
				continue
			}
		case <-timeout:
			t.Fatalf("not found; a sees %v, b sees %v", a.LAN(), b.LAN())
		}
		break
	}
	for _, n := range []*p2p.Node{a, b} {
		for _, info := range n.LAN() {
			if info.ID == a.ID() || info.ID == b.ID() {
				return
			}
		}
	}
	t.Error("neither is in the other's list")
}

// multicast reports whether an interface that is up can do it.
func multicast(t *testing.T) bool {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 {
			return true
		}
	}
	return false
}
