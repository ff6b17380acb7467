package mesh

import (
	"strconv"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/capacitypb"
	"apocryph/provider/inventory"
)

// offered asks a provider, as a stranger and without reserving, what it could
// give to a request: each resource's amount, as the offer writes it.
func offered(t *testing.T, addr string) map[string]string {
	t.Helper()
	node := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	info, err := p2p.ParsePeer(addr)
	must(t, err)
	must(t, node.Connect(t.Context(), info))
	return offeredTo(t, node, info.ID)
}

func offeredTo(t *testing.T, node *p2p.Node, id peer.ID) map[string]string {
	t.Helper()
	req := &capacitypb.CapacityRequest{
		Replicas: 1, RuntimeClass: "runc",
		Containers: []*capacitypb.ContainerNeeds{{Name: "auditor", CpuMillis: 1, MemoryBytes: 1 << 20}},
	}
	res, err := rpc.Do(t.Context(), node.Host(), id, rpc.Capacity, req, func() *capacitypb.CapacityResponse { return new(capacitypb.CapacityResponse) })
	must(t, err)
	var o capacitypb.Offer
	must(t, proto.Unmarshal(res.GetResult().GetOffer().GetOffer(), &o))
	out := map[string]string{}
	for _, r := range o.GetResources() {
		out[r.GetResource()] = r.GetAvailable()
	}
	return out
}

// free is the processor time that nobody is charged for and nobody reserved.
func (h *host) free() string {
	h.t.Helper()
	return offered(h.t, h.info.Addrs[0])["cpu"]
}

// all is the processor time of an empty provider, as an offer writes it.
func (h *host) all() string {
	h.t.Helper()
	return coresText(h.cores())
}

// cores is the processor time of the machine, in thousandths of a core.
func (h *host) cores() uint64 {
	h.t.Helper()
	machine, err := inventory.Inspect(inventory.InspectConfig{DataDir: h.cfg.DataDir})
	must(h.t, err)
	return machine.CPUMillis
}

func coresText(millis uint64) string {
	if millis%1000 == 0 {
		return strconv.FormatUint(millis/1000, 10)
	}
	return strconv.FormatUint(millis, 10) + "m"
}
