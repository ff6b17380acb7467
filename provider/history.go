package provider

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	// keptRevisions is how many revisions of a pod are remembered, keptImages how
	// many of those that came up can be rolled back to: their images stay on this
	// machine, and their keys and secrets in its store.
	keptRevisions = 20
	keptImages    = 5
)

// Outcome is what became of a revision.
type Outcome string

// The outcomes of a revision.
const (
	OutcomePending Outcome = "pending"
	// OutcomeUp is a revision that passed its checks once.
	OutcomeUp     Outcome = "up"
	OutcomeFailed Outcome = "failed"
)

// Past is one revision as it was ordered, and what became of it. Manifest, Keys
// and Secrets are secret: the store seals them. They are nil where the revision
// cannot be rolled back to.
type Past struct {
	Pod            PodID
	Revision       uint64
	ManifestDigest manifest.Digest
	Manifest       []byte
	Keys           map[string][]byte
	Secrets        map[string]map[string][]byte
	Release        *KeyRelease
	// Source is what a front door says of where the revision came from; its bytes
	// mean nothing here.
	Source []byte
	// From is the revision that this one brought back, 0 where it was new.
	From uint64
	// Replaces is the revision that had to stop for this one, and comes back should
	// it fail; 0 for none, or where both ran side by side.
	Replaces uint64
	Outcome  Outcome
	Reason   string
	// Log is the last lines of a revision that failed.
	Log []string
	At  time.Time
}

// History keeps what each revision of a pod was. What is kept of a pod goes with
// its record.
type History interface {
	// SavePast stores a revision of a pod that has a record, in place of what was
	// stored of it before.
	SavePast(ctx context.Context, r Past) error
	// Pasts returns a pod's revisions, oldest first; those that another data key
	// sealed are left out.
	Pasts(ctx context.Context, pod PodID) ([]Past, error)
	DropPast(ctx context.Context, pod PodID, revision uint64) error
}

// RevisionView is one revision in the list of [Service.History].
type RevisionView struct {
	Revision, From uint64
	Outcome        Outcome
	Reason         string
	Log            []string
	ManifestDigest manifest.Digest
	// Images are empty where the manifest is not kept.
	Images []ContainerView
	Source []byte
	At     time.Time
	// Current is the one that serves, Restorable those that can be rolled back to.
	Current, Restorable bool
}

// History returns what was deployed under a name, newest first.
func (s *Service) History(ctx context.Context, publisher PublisherID, name string) ([]RevisionView, error) {
	p, err := s.find(publisher, name)
	if err != nil {
		return nil, err
	}
	rec := p.record()
	pasts, err := s.cfg.History.Pasts(ctx, rec.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the history of pod %s: %w", rec.ID, err)
	}
	var out []RevisionView
	for _, r := range slices.Backward(pasts) {
		v := RevisionView{
			Revision: r.Revision, From: r.From, Outcome: r.Outcome, Reason: r.Reason, Log: r.Log,
			ManifestDigest: r.ManifestDigest, Source: r.Source, At: r.At,
			Current: r.Revision == rec.Revision && rec.State != StateFailed, Restorable: r.restorable() && r.Revision != rec.Revision,
		}
		if m, err := manifest.Unmarshal(r.Manifest); err == nil {
			for _, c := range m.Containers {
				v.Images = append(v.Images, ContainerView{Name: c.Name, CID: c.Image.CID, ImageID: c.Image.ImageID})
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// restorable reports whether all that the revision needs is still here.
func (r Past) restorable() bool { return r.Outcome == OutcomeUp && r.Manifest != nil }

// pastOf is a revision as its record has it.
func pastOf(rec Record, outcome Outcome, at time.Time) Past {
	return Past{
		Pod: rec.ID, Revision: rec.Revision, ManifestDigest: rec.ManifestDigest, Manifest: rec.Manifest,
		Keys: rec.Keys, Secrets: rec.Secrets, Release: rec.Release, Outcome: outcome, At: at,
	}
}

// remember notes what became of a revision. A history that cannot be written
// keeps no pod from running. change may be nil.
func (s *Service) remember(ctx context.Context, p *pod, rec Record, outcome Outcome, change func(*Past)) {
	if rec.Locked {
		return
	}
	p.history.Lock()
	defer p.history.Unlock()
	r := pastOf(rec, outcome, s.cfg.Now())
	for _, have := range p.pasts {
		if have.Revision == rec.Revision {
			if have.Outcome == outcome && change == nil {
				return
			}
			r.Source, r.From, r.Replaces, r.At = have.Source, have.From, have.Replaces, have.At
			if outcome == OutcomePending {
				// The driver was faster than who placed the order.
				r.Outcome, r.Reason = have.Outcome, have.Reason
			}
		}
	}
	if change != nil {
		change(&r)
	}
	if r.Outcome == OutcomeFailed {
		r.Keys, r.Secrets = nil, nil
	}
	if err := s.cfg.History.SavePast(ctx, r); err != nil {
		s.log.Warn("a revision is not in the history", "pod", rec.ID, "revision", rec.Revision, "err", err)
		return
	}
	p.note(r)
}

// note puts a revision into the list of what is kept, without its secrets. The
// caller holds p.history.
func (p *pod) note(r Past) {
	kept := r.restorable()
	r.Manifest, r.Keys, r.Secrets, r.Log = nil, nil, nil, nil
	if kept {
		r.Manifest = []byte{}
	}
	p.pasts = slices.DeleteFunc(p.pasts, func(x Past) bool { return x.Revision == r.Revision })
	p.pasts = append(p.pasts, r)
	slices.SortFunc(p.pasts, func(a, b Past) int { return int(int64(a.Revision - b.Revision)) })
}

// readHistory fills what is kept of a pod after a start.
func (s *Service) readHistory(ctx context.Context, p *pod) error {
	p.history.Lock()
	defer p.history.Unlock()
	pasts, err := s.cfg.History.Pasts(ctx, p.record().ID)
	if err != nil {
		return err
	}
	for _, r := range pasts {
		p.note(r)
	}
	return nil
}

// keeps reports whether an instance's images stay for a roll back. One replica
// keeps them for all.
func (p *pod) keeps(id InstanceID) bool {
	p.history.Lock()
	defer p.history.Unlock()
	pod := p.record().ID
	return slices.ContainsFunc(p.pasts, func(r Past) bool { return r.restorable() && instanceID(pod, r.Revision, 0) == id })
}

// replacedBy is the revision that had to stop for another; 0 for none.
func (p *pod) replacedBy(revision uint64) uint64 {
	p.history.Lock()
	defer p.history.Unlock()
	for _, r := range p.pasts {
		if r.Revision == revision {
			return r.Replaces
		}
	}
	return 0
}

// before is the revision that ran before one that is not up yet: the one that had
// to stop for it, or the one that it brings back; 0 for none. The caller holds
// p.history.
func (p *pod) before(revision uint64) uint64 {
	for _, r := range p.pasts {
		if r.Revision == revision {
			return cmp.Or(r.Replaces, r.From)
		}
	}
	return 0
}

// highest is the highest revision that a pod ever had.
func (p *pod) highest() uint64 {
	p.history.Lock()
	defer p.history.Unlock()
	n := p.record().Revision
	if len(p.pasts) > 0 {
		n = max(n, p.pasts[len(p.pasts)-1].Revision)
	}
	return n
}

// past finds a revision to go back to: the newest one below that came up where
// to is 0.
func (s *Service) past(ctx context.Context, rec Record, to uint64) (Past, error) {
	pasts, err := s.cfg.History.Pasts(ctx, rec.ID)
	if err != nil {
		return Past{}, fmt.Errorf("reading the history of pod %s: %w", rec.ID, err)
	}
	var can []uint64
	for _, r := range slices.Backward(pasts) {
		if !r.restorable() || r.Revision == rec.Revision {
			continue
		}
		if r.Revision == to || to == 0 && r.Revision < rec.Revision {
			return r, nil
		}
		can = append(can, r.Revision)
	}
	if to == 0 {
		return Past{}, status.New(status.Conflict, "pod.no_previous", "pod %q has no earlier revision that came up", rec.Name)
	}
	if to == rec.Revision {
		return Past{}, status.New(status.Conflict, "pod.revision", "pod %q is at revision %d already", rec.Name, to)
	}
	return Past{}, status.New(status.NotFound, "pod.no_revision", "pod %q cannot go back to revision %d", rec.Name, to).
		WithHint("it can go back to %v; look at its history", can)
}
