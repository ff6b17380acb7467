package mesh

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	manet "github.com/multiformats/go-multiaddr/net"

	"apocryph/provider/providerd"
)

// relay is a third party's libp2p host that serves circuit relay v2 without limits.
type relay struct {
	host    corehost.Host
	addr    string
	traffic *meter
}

// meter counts the bytes that come to a host.
type meter struct {
	metrics.Reporter
	in atomic.Int64
}

// LogSentMessage does nothing.
func (*meter) LogSentMessage(int64) {}

// LogSentMessageStream does nothing.
func (*meter) LogSentMessageStream(int64, protocol.ID, peer.ID) {}

// LogRecvMessageStream does nothing: the other one is told of the same bytes.
func (*meter) LogRecvMessageStream(int64, protocol.ID, peer.ID) {}

// LogRecvMessage counts the bytes that were read.
func (m *meter) LogRecvMessage(n int64) { m.in.Add(n) }

func newRelay(t *testing.T) *relay {
	t.Helper()
	traffic := &meter{}
	h, err := libp2p.New(
		libp2p.BandwidthReporter(traffic),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(),
		libp2p.EnableRelayService(circuit.WithInfiniteLimits()),
	)
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	listen, err := h.Network().InterfaceListenAddresses()
	must(t, err)
	r := &relay{host: h, traffic: traffic}
	for _, a := range listen {
		if manet.IsIPLoopback(a) {
			r.addr = a.String() + "/p2p/" + h.ID().String()
		}
	}
	return r
}

// TestThroughARelay: a provider that cannot be reached directly is deployed to
// through the relay of its configuration: calls, and the image on its way back.
func TestThroughARelay(t *testing.T) {
	t.Parallel()
	r := newRelay(t)
	h := newHost(t, func(c *providerd.Config) { c.Relays = []string{r.addr} })
	a := newAuthor(t)
	to := targetOf(t, r.addr+"/p2p-circuit/p2p/"+h.info.PeerID)
	eventually(t, "the provider is reached through its relay", func() bool {
		_, err := a.status(to, "")
		return err == nil
	})
	d, err := a.deploy(t.Context(), job{manifest: app("hidden", image(t, imageSize)), to: to, policy: a.policy(to)})
	must(t, err)
	if body := fetch(t, d.App.URL, "tcp", d.App.Endpoints[0].Dial); !strings.HasPrefix(body, "hello") {
		t.Errorf("the app answers %q", body)
	}
	must(t, a.delete(to, "hidden"))
	h.clean()
	if n := r.traffic.in.Load(); n < imageSize {
		t.Errorf("%d bytes came to the relay: the image did not go through it", n)
	}
}
