package peerclient

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"apocryph/manifest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/publisher"
)

// maxEndpoints bounds the endpoints that are taken over from a provider.
const maxEndpoints = 256

// EncodeOrder writes an order as a SealedProvision.
func (c *Client) EncodeOrder(o publisher.Order) ([]byte, error) {
	w := &podpb.SealedProvision{
		Manifest: o.Manifest, Policy: o.Policy, OfferId: o.OfferID, ReservationId: o.ReservationID,
		ExpectedRevision: o.ExpectedRevision, PublisherPeer: o.PublisherPeer,
		Payment: &podpb.Payment{
			Scheme: o.Payment.Scheme, Chain: o.Payment.Chain, Contract: o.Payment.Contract, Payer: o.Payment.Payer, Payee: o.Payment.Payee,
			ChannelId: o.Payment.ChannelID, Asset: o.Payment.Asset, Voucher: o.Payment.Voucher,
		},
	}
	for id, key := range o.Keys {
		w.ImageKeys = append(w.ImageKeys, &podpb.ImageKey{KeyId: id, Pkcs8: key})
	}
	slices.SortFunc(w.ImageKeys, func(a, b *podpb.ImageKey) int { return strings.Compare(a.KeyId, b.KeyId) })
	for volume, files := range o.Secrets {
		for name, data := range files {
			w.Secrets = append(w.Secrets, &podpb.Secret{Volume: volume, File: name, Data: data})
		}
	}
	slices.SortFunc(w.Secrets, func(a, b *podpb.Secret) int {
		return strings.Compare(a.Volume+"\x00"+a.File, b.Volume+"\x00"+b.File)
	})
	return proto.MarshalOptions{Deterministic: true}.Marshal(w)
}

// Provision sends a sealed order and follows it to its end.
func (c *Client) Provision(ctx context.Context, to publisher.ProviderID, req publisher.ProvisionRequest, report func(publisher.Progress)) (publisher.Provisioned, error) {
	id, err := decode(to)
	if err != nil {
		return publisher.Provisioned{}, err
	}
	w := &podpb.ProvisionRequest{
		RequestId: req.RequestID[:], ClaimsDigest: req.ClaimsDigest[:], Operation: podpb.Operation(req.Operation), Enc: req.Enc, Ciphertext: req.Ciphertext,
	}
	stream, err := rpc.Call(ctx, c.host, id, rpc.Provision, w, func() *podpb.ProvisionResponse { return new(podpb.ProvisionResponse) })
	if err != nil {
		return publisher.Provisioned{}, err
	}
	defer stream.Close()
	for {
		res, err := receive(stream)
		if err != nil {
			return publisher.Provisioned{}, err
		}
		switch body := res.GetBody().(type) {
		case *podpb.ProvisionResponse_Event:
			report(progressFromWire(body.Event))
		case *podpb.ProvisionResponse_Result:
			return provisionedFromWire(body.Result)
		default:
			return publisher.Provisioned{}, badAnswer("a message of an unknown kind")
		}
	}
}

func provisionedFromWire(r *podpb.ProvisionResult) (publisher.Provisioned, error) {
	release, err := releaseFromWire(r.GetRelease())
	if err != nil {
		return publisher.Provisioned{}, err
	}
	return publisher.Provisioned{
		PodID: r.GetPodId(), Revision: r.GetRevision(), Endpoints: endpointsFromWire(r.GetEndpoints()),
		Confirm: r.GetConfirm(), ManifestDigest: r.GetManifestDigest(), Receipt: r.GetReceipt(), Release: release,
		Dry: dryRunFromWire(r.GetDryRun()),
	}, nil
}

func progressFromWire(e *podpb.ProvisionEvent) publisher.Progress {
	stage := strings.ToLower(strings.TrimPrefix(e.GetStage().String(), "STAGE_"))
	return publisher.Progress{Stage: stage, Done: e.GetBytes(), Total: e.GetTotal(), Rate: e.GetRate(), Source: e.GetSource()}
}

func endpointsFromWire(in []*podpb.Endpoint) []publisher.Endpoint {
	var out []publisher.Endpoint
	for _, e := range in[:min(len(in), maxEndpoints)] {
		out = append(out, publisher.Endpoint{
			Container: e.GetContainer(), Port: uint16(e.GetPort()), Protocol: manifest.Protocol(e.GetProtocol()), URL: e.GetUrl(), Dial: e.GetDial(),
		})
	}
	return out
}
