package peerapi

import (
	"context"

	"apocryph/attest"
	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxAccept bounds the evidence types of a request.
const maxAccept = 16

func (a *API) attest(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
	r, err := attestFromWire(s, req)
	if err != nil {
		return err
	}
	got, err := a.svc.Attest(ctx, publisherOf(s.Peer()), r, func(id attest.TPMIdentity) (attest.Activation, error) {
		err := s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{
			Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_TpmIdentity{TpmIdentity: attest.IdentityToWire(id)}},
		}})
		if err != nil {
			return attest.Activation{}, err
		}
		var answer attestpb.AttestActivate
		if err := s.Recv(&answer); err != nil {
			return attest.Activation{}, err
		}
		return attest.ActivationFromWire(&answer)
	})
	if err != nil {
		return err
	}
	if err := sendLog(s, got.Log); err != nil {
		return err
	}
	for _, envelope := range got.Built {
		err := s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_Built{Built: envelope}}}})
		if err != nil {
			return err
		}
	}
	result := &attestpb.AttestResult{Claims: got.Claims, Evidence: attest.EvidenceToWire(got.Evidence)}
	if got.Offer != nil {
		result.Offer = got.Offer.ToWire()
	}
	result.Tree = treeToWire(got.Tree)
	return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: result}})
}

func attestFromWire(s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) (provider.AttestRequest, error) {
	purpose, err := attest.PurposeFromWire(req.GetPurpose())
	if err != nil {
		return provider.AttestRequest{}, err
	}
	r := provider.AttestRequest{Challenge: attest.Challenge{
		Purpose: purpose, VerifierPeer: []byte(s.Peer()), ProviderPeer: req.GetProviderPeer(),
	}, Pod: provider.PodID(req.GetPodId()), Images: req.GetImageIds()}
	if req.GetLog() != nil {
		r.Log = &provider.LogRequest{From: req.GetLog().GetFrom()}
	}
	var faults []status.Fault
	if copy(r.Challenge.Nonce[:], req.GetNonce()) != attest.NonceSize || len(req.GetNonce()) != attest.NonceSize {
		faults = append(faults, status.Fault{Field: "nonce", Got: bytesText(len(req.GetNonce())), Want: bytesText(attest.NonceSize)})
	}
	if len(req.GetAccept()) > maxAccept {
		faults = append(faults, status.Fault{Field: "accept", Got: "more types than there are", Want: "the types that the caller can appraise"})
	}
	tree, fault := treeFromWire(req.GetTree())
	if fault != nil {
		faults = append(faults, *fault)
	}
	r.Tree = tree
	if len(faults) > 0 {
		return r, status.Invalid("attest.request", "the request", faults)
	}
	for _, t := range req.GetAccept() {
		r.Accept = append(r.Accept, attest.Type(t))
	}
	if req.GetCapacity() != nil {
		needs, err := offer.NeedsFromWire(req.GetCapacity())
		if err != nil {
			return r, err
		}
		r.Needs = &needs
	}
	return r, nil
}
