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
	// Openings are those of the provider's own events, which policies look at, and
	// of the caller's own pod and builds where they were asked about.
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

// showLog is what is shown of a log to whom a pod, unless p is nil, and builds
// belong; nil where nothing was asked for.
func (s *Service) showLog(ctx context.Context, req *LogRequest, p *pod, built []statement, held HeldLog) (*LogShown, error) {
	if req == nil {
		return nil, nil
	}
	if req.From > uint64(len(held.Records)) {
		return nil, status.New(status.InvalidArgument, "attest.log", "log.from: got %d, want at most %d", req.From, len(held.Records)).
			WithHint("the machine may have booted since: ask from 0")
	}
	out := &LogShown{From: req.From, Records: held.Records[req.From:]}
	about := []PodID{""}
	if p != nil {
		about = append(about, p.record().ID)
	}
	for _, id := range about {
		list, err := s.cfg.Log.Openings(ctx, id)
		if err != nil {
			return nil, err
		}
		// What was logged since the evidence was made is another's business.
		out.Openings = append(out.Openings, slices.DeleteFunc(list, func(o LogOpening) bool {
			return o.Record.Seq < req.From || o.Record.Seq >= held.Head.Length
		})...)
	}
	for _, b := range built {
		o, err := s.buildOpening(ctx, b.id, held)
		if err != nil {
			return nil, err
		}
		if o != nil && o.Record.Seq >= req.From {
			out.Openings = append(out.Openings, *o)
		}
	}
	slices.SortFunc(out.Openings, func(a, b LogOpening) int { return int(a.Record.Seq) - int(b.Record.Seq) })
	return out, nil
}

// startOf is where the pod log has the start of a revision's first replica, and
// the log's head now.
func (s *Service) startOf(ctx context.Context, rec Record) (seq uint64, head []byte, err error) {
	list, err := s.cfg.Log.Openings(ctx, rec.ID)
	if err != nil {
		return 0, nil, err
	}
	first, found := string(instanceID(rec.ID, rec.Revision, 0)), false
	for _, o := range list {
		if o.Record.Type != podlog.TypePodStart {
			continue
		}
		if e, err := podlog.Open(o.Record, o.Opening); err != nil {
			return 0, nil, err
		} else if start, ok := e.(*podlog.PodStart); ok && start.Instance == first {
			seq, found = o.Record.Seq, true
		}
	}
	if !found {
		return 0, nil, status.New(status.Internal, "pod.not_logged", "the pod log does not have the start of pod %s, revision %d", rec.ID, rec.Revision)
	}
	held, err := s.cfg.Log.Hold(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer held.Release()
	bank, err := podlog.BankOf(held.Register)
	if err != nil {
		return 0, nil, err
	}
	head, err = held.Head.Value(bank)
	return seq, head, err
}
