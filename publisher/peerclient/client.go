package peerclient

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// Client calls providers. Make it with [New].
type Client struct{ host host.Host }

// New makes a client on a host.
func New(h host.Host) *Client { return &Client{host: h} }

func decode(id publisher.ProviderID) (peer.ID, error) {
	p, err := peer.Decode(string(id))
	if err != nil {
		return "", status.Wrap(err, status.InvalidArgument, "provider.id", "%q is no peer id", id)
	}
	return p, nil
}

// Attest asks a provider for evidence. activate is called at most once, when
// the provider shows a TPM.
func (c *Client) Attest(ctx context.Context, to publisher.ProviderID, req publisher.AttestRequest, activate func(attest.TPMIdentity) (attest.Activation, error)) (*publisher.Attestation, error) {
	id, err := decode(to)
	if err != nil {
		return nil, err
	}
	w := &attestpb.AttestRequest{Purpose: attest.PurposeToWire(req.Challenge.Purpose), Nonce: req.Challenge.Nonce[:], ProviderPeer: req.Challenge.ProviderPeer}
	for _, t := range req.Accept {
		w.Accept = append(w.Accept, string(t))
	}
	if req.Needs != nil {
		w.Capacity = req.Needs.ToWire()
	}
	if w.PodId = req.PodID; req.Log {
		w.Log = &attestpb.LogRequest{}
	}
	w.Tree, w.ImageIds = treeToWire(req.Tree), req.Images
	stream, err := rpc.Call(ctx, c.host, id, rpc.Attest, w, func() *attestpb.AttestResponse { return new(attestpb.AttestResponse) })
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	res, err := receive(stream)
	if err != nil {
		return nil, err
	}
	if tpm := res.GetEvent().GetTpmIdentity(); tpm != nil {
		if err := answer(stream, tpm, activate); err != nil {
			return nil, err
		}
		if res, err = receive(stream); err != nil {
			return nil, err
		}
	}
	var log podlog.Shown
	for req.Log && res.GetEvent().GetLog() != nil {
		if err := addPage(&log, res.GetEvent().GetLog()); err != nil {
			return nil, err
		}
		if res, err = receive(stream); err != nil {
			return nil, err
		}
	}
	var built [][]byte
	for total := 0; len(built) < len(req.Images) && res.GetEvent().GetBuilt() != nil; {
		envelope := res.GetEvent().GetBuilt()
		// A provider that sends without end must not fill our memory.
		if total += len(envelope); total > attest.MaxStatements {
			return nil, badAnswer("statements about builds of more than 4 MiB")
		}
		built = append(built, envelope)
		if res, err = receive(stream); err != nil {
			return nil, err
		}
	}
	result := res.GetResult()
	if result == nil {
		return nil, badAnswer("neither evidence nor a refusal")
	}
	out := &publisher.Attestation{Claims: result.GetClaims(), Log: log, Built: built, Tree: treeFromWire(result.GetTree())}
	if out.Evidence, err = attest.EvidenceFromWire(result.GetEvidence()); err != nil {
		return nil, err
	}
	if result.GetOffer() != nil {
		signed := offer.SignedFromWire(result.GetOffer())
		out.Offer = &signed
	}
	return out, nil
}

func answer(stream *rpc.ClientStream[*attestpb.AttestResponse], tpm *attestpb.TpmIdentity, activate func(attest.TPMIdentity) (attest.Activation, error)) error {
	id, err := attest.IdentityFromWire(tpm)
	if err != nil {
		return err
	}
	a, err := activate(id)
	if err != nil {
		return err
	}
	return stream.Send(attest.ActivationToWire(a))
}

// receive is Recv where the peer owes a response.
func receive[Res proto.Message](stream *rpc.ClientStream[Res]) (Res, error) {
	res, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return res, badAnswer("the end of the stream")
	}
	return res, err
}

func badAnswer(what string) error {
	return status.New(status.Unavailable, "peer.answer", "the provider answered with %s", what).
		WithHint("it may run another version")
}

// Quote asks for an offer; the signature is the caller's to check.
func (c *Client) Quote(ctx context.Context, to publisher.ProviderID, needs offer.Needs) (offer.Signed, error) {
	id, err := decode(to)
	if err != nil {
		return offer.Signed{}, err
	}
	res, err := rpc.Do(ctx, c.host, id, rpc.Capacity, needs.ToWire(), func() *capacitypb.CapacityResponse { return new(capacitypb.CapacityResponse) })
	if err != nil {
		return offer.Signed{}, fmt.Errorf("asking for an offer: %w", err)
	}
	if res.GetResult().GetOffer() == nil {
		return offer.Signed{}, badAnswer("no offer")
	}
	return offer.SignedFromWire(res.GetResult().GetOffer()), nil
}
