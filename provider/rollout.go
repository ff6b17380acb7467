package provider

import (
	"context"
	"errors"
	"slices"
	"time"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// drainTime bounds how long what a replaced revision was doing may take to end,
// before it is asked to stop.
const drainTime = 30 * time.Second

// candidate is a revision that is tried beside the one that serves.
type candidate struct {
	revision uint64
	exits    chan Exit
}

// try lets exits of a revision that is not current go to those who try it.
func (p *pod) try(revision uint64) *candidate {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = &candidate{revision, make(chan Exit, cap(p.exits))}
	return p.next
}

// tried ends try. What exited last is for the driver, should the candidate have
// become current.
func (p *pod) tried() {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.next
	p.next = nil
	for {
		select {
		case e := <-c.exits:
			offerExit(p.exits, e)
		default:
			return
		}
	}
}

// surge is what a pod's replaced revision is charged under until it is gone.
func surge(id PodID) PodID { return id + "-replaced" }

// beside reports whether a new revision may run beside the old one until it is
// healthy. It may not where both would write to one persistent volume, which
// most programs do not survive, or where the machine has no room for both: then
// the old one stops before the new one starts. Room is charged when it returns true.
func (s *Service) beside(ctx context.Context, have Record, old, m *manifest.Manifest) bool {
	if writesPersistent(old) && writesPersistent(m) {
		return false
	}
	err := s.cfg.Capacity.Commit(ctx, have.Publisher, surge(have.ID), offer.NeedsOf(old), "")
	if err != nil {
		s.log.Info("an update stops the old revision first: there is no room for both", "pod", have.ID, "err", err)
	}
	return err == nil
}

func writesPersistent(m *manifest.Manifest) bool {
	persistent := func(name string) bool {
		return slices.ContainsFunc(m.Volumes, func(v manifest.Volume) bool { return v.Name == name && v.Kind == manifest.Persistent })
	}
	return slices.ContainsFunc(m.Containers, func(c manifest.Container) bool {
		return slices.ContainsFunc(c.Mounts, func(mt manifest.Mount) bool { return !mt.ReadOnly && persistent(mt.Volume) })
	})
}

// roll brings a prepared revision up beside the one that serves, and makes it
// the current one when it is healthy: routes lead to it first, then it is
// stored, then the driver drains and removes the old one. On error the old one
// serves as before, and what was made of the new one may be discarded.
func (s *Service) roll(ctx context.Context, p *pod, have, want Record, m *manifest.Manifest, report func(Progress)) error {
	c := p.try(want.Revision)
	defer p.tried()
	up, err := s.tryOut(ctx, p, c, want, m, report)
	if err != nil {
		return s.blame(ctx, want, m, err)
	}
	p.routes.Lock()
	before := p.published
	p.routes.Unlock()
	if err := s.publish(p, want, backendsOf(want, m, up)); err != nil {
		return err
	}
	want.State, want.Reason = StateRunning, ""
	if err := s.update(ctx, p, func(r *Record) { *r = want }); err != nil {
		// The caller puts the routes back to what was published.
		p.routes.Lock()
		p.published, p.routed = before, have.Revision
		p.routes.Unlock()
		return err
	}
	return nil
}

// tryOut starts a prepared revision and waits until it is healthy.
func (s *Service) tryOut(ctx context.Context, p *pod, c *candidate, want Record, m *manifest.Manifest, report func(Progress)) ([]Instance, error) {
	report(Progress{Stage: StageStarting})
	for n := range m.Replicas.Min {
		id := instanceID(want.ID, want.Revision, n)
		if err := s.announceStart(ctx, p, want, id); err != nil {
			return nil, err
		}
		if err := s.cfg.Runtime.Start(ctx, id); err != nil {
			return nil, err
		}
	}
	up, err := s.own(ctx, want, m)
	if err != nil {
		return nil, err
	}
	if err := s.awaitHealthy(ctx, newEarly(want, c.exits), m, up); err != nil {
		return nil, err
	}
	return up, nil
}

// blame says why a revision did not come up, with its last log lines.
func (s *Service) blame(ctx context.Context, rec Record, m *manifest.Manifest, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.log.Warn("a new revision did not come up, the old one goes on", "pod", rec.ID, "name", rec.Name, "revision", rec.Revision, "err", cause)
	public := status.Public(cause)
	if len(public.Log) == 0 {
		public.Log = s.lastLines(ctx, rec, m)
	}
	return public
}

// serve supervises a revision that is up. What it replaced is drained and
// removed meanwhile, and what is too old to be kept goes.
func (s *Service) serve(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, up []Instance) error {
	ctx, cancel := context.WithCancel(ctx)
	retired := make(chan struct{})
	go func() {
		defer close(retired)
		s.retire(ctx, p, rec)
	}()
	err := s.supervise(ctx, p, rec, m, up)
	cancel()
	<-retired
	return err
}

// retire lets what leads to replaced instances come to its end, and removes them.
func (s *Service) retire(ctx context.Context, p *pod, rec Record) {
	if len(rec.Obsolete) > 0 {
		drain, cancel := context.WithTimeout(ctx, drainTime)
		s.cfg.Drains.Drain(drain, rec.ID)
		cancel()
	}
	for n := 0; ctx.Err() == nil; n++ {
		err := s.removeObsolete(ctx, p)
		if err == nil {
			err = s.trim(ctx, p)
		}
		if err == nil || errors.Is(err, errOvertaken) {
			return
		}
		if ctx.Err() == nil {
			s.log.Warn("removing a replaced revision", "pod", rec.ID, "err", err)
			wait(ctx, backoff(n))
		}
	}
}
