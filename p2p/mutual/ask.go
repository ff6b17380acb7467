package mutual

import (
	"context"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// Answer is what a machine shows; nothing of it is verified yet.
type Answer struct {
	Claims   []byte
	Evidence []attest.Evidence
}

// Activate makes an activation for a TPM that was shown.
type Activate func(attest.TPMIdentity) (attest.Activation, error)

// Ask asks a connected peer for evidence. accept are the types that the caller
// can appraise, activate is called at most once, where the peer shows a TPM.
func Ask(ctx context.Context, h host.Host, to peer.ID, ch attest.Challenge, accept []attest.Type, activate Activate) (*Answer, error) {
	req := &attestpb.AttestRequest{Purpose: attest.PurposeToWire(ch.Purpose), Nonce: ch.Nonce[:], ProviderPeer: ch.ProviderPeer}
	for _, t := range accept {
		req.Accept = append(req.Accept, string(t))
	}
	stream, err := rpc.Call(ctx, h, to, rpc.Attest, req, func() *attestpb.AttestResponse { return new(attestpb.AttestResponse) })
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	res, err := receive(stream)
	if err != nil {
		return nil, err
	}
	if tpm := res.GetEvent().GetTpmIdentity(); tpm != nil {
		id, err := attest.IdentityFromWire(tpm)
		if err != nil {
			return nil, err
		}
		a, err := activate(id)
		if err != nil {
			return nil, err
		}
		if err := stream.Send(attest.ActivationToWire(a)); err != nil {
			return nil, err
		}
		if res, err = receive(stream); err != nil {
			return nil, err
		}
	}
	result := res.GetResult()
	if result == nil {
		return nil, noAnswer()
	}
	out := &Answer{Claims: result.GetClaims()}
	out.Evidence, err = attest.EvidenceFromWire(result.GetEvidence())
	return out, err
}

func receive(stream *rpc.ClientStream[*attestpb.AttestResponse]) (*attestpb.AttestResponse, error) {
	res, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, noAnswer()
	}
	return res, err
}

func noAnswer() error {
	return status.New(status.Unavailable, "peer.answer", "the peer answered with neither evidence nor a refusal")
}
