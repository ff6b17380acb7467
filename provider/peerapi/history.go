package peerapi

import (
	"context"

	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxRevisions bounds the revisions of one answer: with at most 64 lines of 512
// bytes each, and 16 images, they stay below a frame. A provider keeps fewer.
const maxRevisions = 24

// rollback brings an earlier revision back. It asks for no evidence and opens
// nothing sealed: what runs then was released to this provider before.
func (a *API) rollback(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], publisher provider.PublisherID, w *podpb.RollbackPod) error {
	req := provider.RollbackRequest{Publisher: publisher, Name: w.GetName(), To: w.GetTo(), Expected: w.GetExpectedRevision()}
	if copy(req.RequestID[:], w.GetRequestId()) != len(w.GetRequestId()) || len(w.GetRequestId()) != len(req.RequestID) {
		return status.Invalid("rollback.request", "the request", []status.Fault{
			{Field: "request_id", Got: bytesText(len(w.GetRequestId())), Want: bytesText(len(req.RequestID))},
		})
	}
	got, err := a.svc.Rollback(ctx, req, throttled(func(e *podpb.ProvisionEvent) error {
		return s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Progress: e}}})
	}))
	if err != nil {
		return err
	}
	return s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: &podpb.PodResult{RolledBack: a.provisionedToWire(s.Peer(), got)}}})
}

var outcomes = map[provider.Outcome]podpb.RevisionOutcome{
	provider.OutcomePending: podpb.RevisionOutcome_REVISION_OUTCOME_PENDING,
	provider.OutcomeUp:      podpb.RevisionOutcome_REVISION_OUTCOME_UP,
	provider.OutcomeFailed:  podpb.RevisionOutcome_REVISION_OUTCOME_FAILED,
}

func historyToWire(revisions []provider.RevisionView) *podpb.PodResponse {
	result := &podpb.PodResult{}
	for _, v := range revisions[:min(len(revisions), maxRevisions)] {
		// An app wrote the lines: they are made sendable like those of an error.
		texts := status.ToWire(&status.Error{Code: status.AppFailed, Detail: v.Reason, Log: v.Log})
		w := &podpb.PodRevision{
			Revision: v.Revision, From: v.From, Outcome: outcomes[v.Outcome], Reason: texts.GetDetail(), Log: texts.GetLog(),
			ManifestDigest: v.ManifestDigest[:], At: v.At.UnixMilli(), Current: v.Current, Restorable: v.Restorable,
		}
		for _, i := range v.Images {
			w.Images = append(w.Images, &podpb.RevisionImage{Container: i.Name, Cid: i.CID, ImageId: i.ImageID})
		}
		result.Revisions = append(result.Revisions, w)
	}
	return &podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: result}}
}
