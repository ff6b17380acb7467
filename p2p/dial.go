package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/status"
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

// Dial makes sure that a host has a connection to a peer. The error is
// unavailable: "peer.hung_up", with the time to wait, where the peer took the call
// and had no room for another handshake; "peer.unreachable" where nobody answered,
// or somebody else did. Where ctx ended it is that.
func Dial(ctx context.Context, h host.Host, info peer.AddrInfo) error {
	forgetFailures(h, info.ID)
	err := h.Connect(ctx, info)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("connecting to %s: %w", info.ID, ctx.Err())
	case hungUp(err):
		return status.Wrap(err, status.Unavailable, "peer.hung_up", "peer %s hung up before it had said who it is", info.ID).
			WithRetryAfter(hungUpWait).WithHint("it may have too many callers; try again later, and check that the address is right")
	}
	return status.Wrap(err, status.Unavailable, "peer.unreachable", "peer %s cannot be reached", info.ID).
		WithHint("check that it runs and that its address is right; a peer id alone needs --bootstrap or the same local network")
}

// forgetFailures lets a peer be dialled at once that could not be reached a
// moment ago: libp2p would refuse to try for seconds. Who calls it paces itself.
func forgetFailures(h host.Host, id peer.ID) {
	if s, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(id)
	}
}

// hungUpWait is when a peer that hung up may be dialled again. A node that has no
// room for another handshake can say so in no other way; each takes it
// milliseconds.
const hungUpWait = 2 * time.Second

// hungUp tells a peer that took a call and ended it during the handshake from
// one that nobody answers for.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
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
