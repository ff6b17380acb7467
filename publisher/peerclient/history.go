package peerclient

import (
	"context"
	"time"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const (
	// maxRevisions, maxImages and maxChanges bound the lists that are taken over
	// from a provider; the frame bounds their texts.
	maxRevisions = 256
	maxImages    = manifest.MaxContainers
	maxChanges   = 4096
)

// PodHistory returns the revisions of a pod, newest first.
func (c *Client) PodHistory(ctx context.Context, at publisher.ProviderID, name string) ([]publisher.PodRevision, error) {
	result, err := c.podCall(ctx, at, &podpb.PodRequest{Call: &podpb.PodRequest_History{History: &podpb.GetHistory{Name: name}}})
	if err != nil {
		return nil, older(err, "its history")
	}
	return historyFromWire(result.GetRevisions()), nil
}

// RollbackPod has an earlier revision brought back, and follows it to its end.
func (c *Client) RollbackPod(ctx context.Context, at publisher.ProviderID, req publisher.PodRollback, report func(publisher.Progress)) (publisher.Provisioned, error) {
	id, err := decode(at)
	if err != nil {
		return publisher.Provisioned{}, err
	}
	w := &podpb.RollbackPod{RequestId: req.RequestID[:], Name: req.Name, To: req.To, ExpectedRevision: req.Expected}
	stream, err := rpc.Call(ctx, c.host, id, rpc.Pod, &podpb.PodRequest{Call: &podpb.PodRequest_Rollback{Rollback: w}}, newPodResponse)
	if err != nil {
		return publisher.Provisioned{}, err
	}
	defer stream.Close()
	for {
		res, err := receive(stream)
		if err != nil {
			return publisher.Provisioned{}, older(err, "a rollback")
		}
		switch {
		case res.GetEvent().GetProgress() != nil:
			report(progressFromWire(res.GetEvent().GetProgress()))
		case res.GetResult().GetRolledBack() != nil:
			return provisionedFromWire(res.GetResult().GetRolledBack())
		default:
			return publisher.Provisioned{}, badAnswer("a message of an unknown kind")
		}
	}
}

// older says what a provider that does not know a call is too old for.
func older(err error, what string) error {
	if status.CodeOf(err) != status.Unimplemented || status.ReasonOf(err) != "pod.call" {
		return err
	}
	return status.Wrap(err, status.Unimplemented, "pod.call", "the provider runs an older version, which cannot be asked for %s", what).
		WithHint("deploy the manifest that you want; `publisher status` shows what runs")
}

var outcomes = map[podpb.RevisionOutcome]publisher.Outcome{
	podpb.RevisionOutcome_REVISION_OUTCOME_PENDING: publisher.OutcomePending,
	podpb.RevisionOutcome_REVISION_OUTCOME_UP:      publisher.OutcomeUp,
	podpb.RevisionOutcome_REVISION_OUTCOME_FAILED:  publisher.OutcomeFailed,
}

func historyFromWire(in []*podpb.PodRevision) []publisher.PodRevision {
	var out []publisher.PodRevision
	for _, w := range in[:min(len(in), maxRevisions)] {
		texts := status.FromPeer(&status.Error{Code: status.AppFailed, Detail: w.GetReason(), Log: w.GetLog()})
		r := publisher.PodRevision{
			Revision: w.GetRevision(), From: w.GetFrom(), Outcome: outcomes[w.GetOutcome()], Log: texts.Log,
			ManifestDigest: w.GetManifestDigest(), At: time.UnixMilli(w.GetAt()), Current: w.GetCurrent(), Restorable: w.GetRestorable(),
		}
		if w.GetReason() != "" {
			r.Reason = texts.Detail
		}
		for _, i := range w.GetImages()[:min(len(w.GetImages()), maxImages)] {
			r.Images = append(r.Images, publisher.AppImage{Container: i.GetContainer(), CID: i.GetCid(), ImageID: i.GetImageId()})
		}
		out = append(out, r)
	}
	return out
}

var changeKinds = map[podpb.ChangeKind]manifest.ChangeKind{
	podpb.ChangeKind_CHANGE_KIND_ADDED:   manifest.Added,
	podpb.ChangeKind_CHANGE_KIND_REMOVED: manifest.Removed,
	podpb.ChangeKind_CHANGE_KIND_CHANGED: manifest.Changed,
}

// dryRunFromWire takes a change of an unknown kind for a change.
func dryRunFromWire(w *podpb.DryRunResult) *publisher.DryRunAnswer {
	if w == nil {
		return nil
	}
	d := &publisher.DryRunAnswer{Replaces: w.GetReplaces(), More: w.GetMore(), Offer: offer.SignedFromWire(w.GetOffer())}
	for _, c := range w.GetChanges()[:min(len(w.GetChanges()), maxChanges)] {
		kind, known := changeKinds[c.GetKind()]
		if !known {
			kind = manifest.Changed
		}
		d.Changes = append(d.Changes, manifest.Change{Field: c.GetField(), Kind: kind, Old: c.GetOld(), New: c.GetNew()})
	}
	return d
}
