package peerapi

import (
	"context"
	"log/slog"
	"net"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/capacitypb"
	"apocryph/proto/podpb"
	"apocryph/provider"
)

// API answers calls for one provider.
type API struct {
	host   host.Host
	svc    *provider.Service
	builds Builder
}

// Register answers the provider's protocols on h until the returned function
// is called, which waits for the calls in progress. Builder is nil where nothing is built.
func Register(h host.Host, svc *provider.Service, builder Builder, log *slog.Logger) (stop func()) {
	a := &API{host: h, svc: svc, builds: builder}
	stops := []func(){
		rpc.Handle(h, rpc.Attest, log, func() *attestpb.AttestRequest { return new(attestpb.AttestRequest) }, a.attest),
		rpc.Handle(h, rpc.Capacity, log, func() *capacitypb.CapacityRequest { return new(capacitypb.CapacityRequest) }, a.capacity),
		rpc.Handle(h, rpc.Provision, log, func() *podpb.ProvisionRequest { return new(podpb.ProvisionRequest) }, a.provision),
		rpc.Handle(h, rpc.Pod, log, func() *podpb.PodRequest { return new(podpb.PodRequest) }, a.pod),
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func publisherOf(id peer.ID) provider.PublisherID { return provider.PublisherID(id.String()) }

// dialFor is the address of an endpoint as a peer can dial it: where it is
// bound to every address, the one that the peer reached this provider at.
func (a *API) dialFor(id peer.ID, dial string) string {
	addr, port, err := net.SplitHostPort(dial)
	if err != nil {
		return dial
	}
	if ip := net.ParseIP(addr); addr != "" && (ip == nil || !ip.IsUnspecified()) {
		return dial
	}
	for _, c := range a.host.Network().ConnsToPeer(id) {
		if local, err := manet.ToIP(c.LocalMultiaddr()); err == nil && !local.IsUnspecified() {
			return net.JoinHostPort(local.String(), port)
		}
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func (a *API) capacity(ctx context.Context, s *rpc.ServerStream[*capacitypb.CapacityResponse], req *capacitypb.CapacityRequest) error {
	needs, err := offer.NeedsFromWire(req)
	if err != nil {
		return err
	}
	signed, err := a.svc.Quote(ctx, publisherOf(s.Peer()), needs)
	if err != nil {
		return err
	}
	return s.Send(&capacitypb.CapacityResponse{Body: &capacitypb.CapacityResponse_Result{
		Result: &capacitypb.CapacityResult{Offer: signed.ToWire()},
	}})
}
