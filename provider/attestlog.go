package provider

import (
	"context"
	"slices"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/proto/status"
)

// LogRequest asks for the records of the pod log from number From on.
type LogRequest struct{ From uint64 }

// LogShown is what a verifier gets to see of the pod log, as it stood when its
// evidence was made.
type LogShown struct {
	From    uint64
	Records []podlog.Record
	// Openings are those of the caller's own pod and, beside them, of the
	// provider's own events; none where no pod was asked about.
	Openings []LogOpening
}

// askedPod finds the pod that an attestation is to speak of. A foreign pod and
// one that never was have one answer.
func (s *Service) askedPod(publisher PublisherID, id PodID) (*pod, error) {
	s.mu.Lock()
	p, ok := s.pods[id]
	s.mu.Unlock()
	if ok {
		if r := p.record(); r.Publisher == publisher && r.Revision > 0 {
			return p, nil
		}
	}
	return nil, status.New(status.NotFound, "pod.unknown", "this provider has no pod %.64q of yours", id)
}

// claimLog puts the log's state into the claims. The log must not move until
// evidence binds them.
func claimLog(c *attest.Claims, held HeldLog) error {
	bank, err := podlog.BankOf(held.Register)
	if err != nil {
		return err
	}
	c.Register, c.PodLogLength = held.Register, held.Head.Length
	c.PodLogHead, err = held.Head.Value(bank)
	return err
}

// showLog is what is shown of a log to whom a pod belongs; nil where nothing
// was asked for.
func (s *Service) showLog(ctx context.Context, req *LogRequest, p *pod, held HeldLog) (*LogShown, error) {
	if req == nil {
		return nil, nil
	}
	if req.From > uint64(len(held.Records)) {
		return nil, status.New(status.InvalidArgument, "attest.log", "log.from: got %d, want at most %d", req.From, len(held.Records)).
			WithHint("the machine may have booted since: ask from 0")
	}
	out := &LogShown{From: req.From, Records: held.Records[req.From:]}
	if p == nil {
		return out, nil
	}
	for _, id := range []PodID{p.record().ID, ""} {
		list, err := s.cfg.Log.Openings(ctx, id)
		if err != nil {
			return nil, err
		}
		// What was logged since the evidence was made is another's business.
		out.Openings = append(out.Openings, slices.DeleteFunc(list, func(o LogOpening) bool {
			return o.Record.Seq < req.From || o.Record.Seq >= held.Head.Length
		})...)
	}
	slices.SortFunc(out.Openings, func(a, b LogOpening) int { return int(a.Record.Seq) - int(b.Record.Seq) })
	return out, nil
}
