package provider

import (
	"context"
	"errors"
	"sync"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// accept stores an order durably, after which the pod goes on by itself.
//
// A create is stored first and brought up then. An update is prepared first
// (fetched, unpacked, its keys proven) while the old revision serves, so that
// an order which cannot work leaves the running revision alone.
func (s *Service) accept(ctx context.Context, want Record, m *manifest.Manifest, op Operation, order opened, report func(Progress)) (*pod, uint64, error) {
	s.mu.Lock()
	if s.spawn == nil {
		s.mu.Unlock()
		return nil, 0, status.New(status.Unavailable, "provider.starting", "this provider is starting or stopping").WithRetryAfter(retrySoon)
	}
	p, exists := s.pods[want.ID]
	if !exists && op != Update {
		if err := s.mayAdd(want.Publisher); err != nil {
			s.mu.Unlock()
			return nil, 0, err
		}
		// A dry run is in the table, too: it holds names for a moment, and may
		// not give them back under a create that comes at the same time.
		p = newPod(Record{ID: want.ID, Publisher: want.Publisher, Name: want.Name})
		s.pods[want.ID] = p
	}
	s.mu.Unlock()
	if p == nil {
		return nil, 0, status.New(status.NotFound, "pod.unknown", "this provider has no pod %q of yours to update", want.Name).
			WithHint("create it instead")
	}
	acquired, err := p.acquire(ctx, want.RequestID)
	if err != nil {
		return nil, 0, err
	}
	if !acquired {
		return nil, 0, status.New(status.Conflict, "pod.busy", "another request is changing pod %q", want.Name).WithRetryAfter(retrySoon)
	}
	type outcome struct {
		revision uint64
		err      error
	}
	placed := make(chan outcome, 1)
	heard := newHearing(report)
	s.mu.Lock()
	work := s.work
	if work != nil {
		work(func(run context.Context) {
			revision, err := s.place(run, ctx, p, want, m, op, order, heard.report)
			s.forget(p)
			p.yield()
			placed <- outcome{revision, err}
		})
	}
	s.mu.Unlock()
	if work == nil {
		p.yield()
		return nil, 0, status.New(status.Unavailable, "provider.starting", "this provider is starting or stopping").WithRetryAfter(retrySoon)
	}
	select {
	case o := <-placed:
		return p, o.revision, o.err
	case <-ctx.Done():
		heard.end()
		return nil, 0, ctx.Err()
	}
}

// hearing hands on progress until its listener has left.
type hearing struct {
	mu sync.Mutex // guards to, and is held while it is called
	to func(Progress)
}

func newHearing(to func(Progress)) *hearing { return &hearing{to: to} }

func (h *hearing) report(p Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to != nil {
		h.to(p)
	}
}

func (h *hearing) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = nil
}

// place checks an order against the pod that exists and makes it the current
// revision, whose number it returns. ctx is the service's: a caller who leaves
// ends it only while the order's images are being fetched from him.
func (s *Service) place(ctx, caller context.Context, p *pod, want Record, m *manifest.Manifest, op Operation, order opened, report func(Progress)) (uint64, error) {
	have := p.record()
	if have.Revision > 0 && have.RequestID == want.RequestID {
		return have.Revision, nil // placed by the same request, on another stream
	}
	if err := mayPlace(have, op, order.ExpectedRevision); err != nil {
		return 0, err
	}
	if err := mayReplacePolicy(have, want); err != nil {
		return 0, err
	}
	needs := offer.NeedsOf(m)
	needs.Replaces = want.Name
	endpoints, err := s.cfg.Names.Assign(want.Publisher, want.ID, m, have.Endpoints)
	if err != nil {
		return 0, err
	}
	// Names and ports that an order did not get to keep are free again.
	kept := false
	defer func() {
		if !kept {
			s.giveBack(p, have)
		}
	}()
	if op == DryRun {
		return 0, s.compare(ctx, have, want, m, needs, order.dry)
	}
	want.Endpoints, want.Revision, want.Obsolete = endpoints, p.highest()+1, have.Obsolete
	if !have.Created.IsZero() {
		want.Created = have.Created
	}
	if err := s.cfg.Capacity.Commit(ctx, want.Publisher, want.ID, needs, order.ReservationID); err != nil {
		return 0, err
	}
	err = s.announceOrder(ctx, p, want, m, order.claims)
	if err == nil {
		err = s.logRelease(ctx, &want)
	}
	if err == nil {
		err = s.adopt(ctx, caller, p, have, want, m, report)
	}
	origin := func(r *Past) { r.Source, r.From = order.source, order.from }
	switch {
	case err == nil && p.record().State == StateRunning:
		s.remember(ctx, p, want, OutcomeUp, origin)
	case err == nil:
		s.remember(ctx, p, want, OutcomePending, func(r *Past) {
			origin(r)
			switch {
			case have.Locked:
			case have.State == StateRunning:
				r.Replaces = have.Revision
			case have.State != StateFailed:
				// What ran last stopped for have, or is coming back as it.
				r.Replaces = p.before(have.Revision)
			}
		})
	case have.Revision > 0 && ctx.Err() == nil && caller.Err() == nil:
		public := status.Public(err)
		s.remember(ctx, p, want, OutcomeFailed, func(r *Past) {
			origin(r)
			r.Reason, r.Log = public.Detail, public.Log
		})
		// Also of failures only so many are kept.
		if err := s.trim(ctx, p); err != nil {
			s.log.Warn("forgetting old revisions", "pod", have.ID, "err", err)
		}
	}
	if err != nil {
		s.uncharge(have)
	}
	kept = err == nil
	return want.Revision, err
}

// giveBack puts a pod's names and routes back to what its record says.
func (s *Service) giveBack(p *pod, have Record) {
	p.routes.Lock()
	defer p.routes.Unlock()
	if have.Revision == 0 || have.State == StateFailed {
		s.cfg.Routes.Withdraw(have.ID)
		return
	}
	// The backends are those that get traffic, not those that would be found
	// now: an app that fails its check stays out of it.
	if err := s.cfg.Routes.Publish(have.ID, have.Endpoints, p.published); err != nil {
		s.log.Warn("restoring routes", "pod", have.ID, "err", err)
	}
}

// claimNames takes a stored pod's names and ports again after a restart, before
// anybody else can ask for them. Addresses may have changed meanwhile.
func (s *Service) claimNames(r *Record) {
	if r.State == StateFailed || r.State == StateDeleting {
		return
	}
	if r.Locked {
		s.claimLocked(r)
		return
	}
	m, err := manifest.Unmarshal(r.Manifest)
	if err != nil {
		return
	}
	endpoints, err := s.cfg.Names.Assign(r.Publisher, r.ID, m, r.Endpoints)
	if err != nil {
		s.log.Warn("taking a pod's names again", "pod", r.ID, "err", err)
		return
	}
	r.Endpoints = endpoints
}

// adopt makes want the pod's record. A revision that serves goes on until the
// new one is healthy beside it, or, where both cannot run, until all that the
// new one needs is here.
func (s *Service) adopt(ctx, caller context.Context, p *pod, have, want Record, m *manifest.Manifest, report func(Progress)) error {
	// A locked pod, too, stays as it is for an order that cannot work.
	alive := have.State == StateRunning || have.State == StateWaitingForKeys
	if alive {
		fetching, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(caller, cancel)
		err := s.prepare(fetching, p, want, m, report)
		stop()
		cancel()
		if err != nil {
			return errors.Join(err, s.discard(ctx, want, m.Replicas.Min))
		}
	}
	rolling := false
	if have.Revision > 0 && have.State != StateFailed {
		old, err := manifest.Unmarshal(have.Manifest)
		if have.Locked {
			left, err := s.leftOf(ctx, have)
			if err != nil {
				return errors.Join(err, s.discard(ctx, want, m.Replicas.Min))
			}
			want.Obsolete = append(want.Obsolete, left...)
		} else if err == nil {
			for n := range old.Replicas.Min {
				want.Obsolete = append(want.Obsolete, instanceID(have.ID, have.Revision, n))
			}
			rolling = have.State == StateRunning && s.beside(ctx, have, old, m)
		}
	}
	var err error
	if rolling {
		err = s.roll(ctx, p, have, want, m, report)
	} else {
		err = s.update(ctx, p, func(r *Record) { *r = want })
	}
	if err != nil && rolling {
		s.cfg.Capacity.Release(surge(have.ID))
	}
	if err != nil && alive {
		return errors.Join(err, s.discard(ctx, want, m.Replicas.Min))
	}
	if err != nil {
		return err
	}
	if have.Revision == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.spawn != nil {
			s.spawn(p)
		}
		return nil
	}
	p.disturb()
	return nil
}

func mayPlace(have Record, op Operation, expected uint64) error {
	exists := have.Revision > 0 && have.State != StateFailed && have.State != StateWaitingForKeys
	switch {
	case have.State == StateDeleting:
		return status.New(status.Conflict, "pod.deleting", "pod %q is being deleted", have.Name).WithRetryAfter(retrySoon)
	case op == Create && exists:
		return status.New(status.Conflict, "pod.exists", "you have a pod %q here already, at revision %d", have.Name, have.Revision).
			WithHint("update it, or delete it first")
	case op == Update && have.Revision == 0:
		return status.New(status.NotFound, "pod.unknown", "this provider has no pod %q of yours to update", have.Name).WithHint("create it instead")
	case op == Update && expected != have.Revision:
		return status.New(status.Conflict, "pod.revision", "pod %q is at revision %d, the update replaces %d", have.Name, have.Revision, expected).
			WithHint("look at its status and deploy again")
	}
	return nil
}

// mayAdd bounds the number of pods. The caller holds s.mu.
func (s *Service) mayAdd(publisher PublisherID) error {
	var own int
	for _, p := range s.pods {
		if p.record().Publisher == publisher {
			own++
		}
	}
	switch {
	case own >= maxPodsPerPublisher:
		return status.New(status.ResourceExhausted, "capacity.pods", "you have %d pods here, the most that one publisher may have", own).
			WithHint("delete one of them")
	case len(s.pods) >= maxPods:
		return status.New(status.ResourceExhausted, "capacity.pods", "this provider has as many pods as it can keep").
			WithHint("choose another provider")
	}
	return nil
}

// forget takes a pod out of the table that did not come to have a record. The
// caller holds it, so that nobody waits for a pod that is in no table.
func (s *Service) forget(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec.Revision == 0 {
		p.removed = true
		delete(s.pods, p.rec.ID)
	}
}

// charge restores what a record is charged for.
func (s *Service) charge(r Record) {
	if r.State == StateFailed || r.State == StateDeleting {
		return
	}
	if m, err := manifest.Unmarshal(r.Manifest); err == nil {
		s.cfg.Charges.Restore(r.ID, offer.NeedsOf(m))
	}
}

// uncharge puts back what was charged before an order that failed.
func (s *Service) uncharge(have Record) {
	s.cfg.Capacity.Release(have.ID)
	if have.Revision > 0 && have.State != StateFailed {
		s.charge(have)
	}
}
