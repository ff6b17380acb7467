package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"apocryph/manifest"
)

// lockedReason is why a locked pod does not do what others do.
const lockedReason = "its secrets are sealed for another measured state of this machine; deploy it again, or boot that state"

// lockedLast orders records so that those that nobody vouches for take names
// and ports after all others.
func lockedLast(records []Record) []Record {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b Record) int {
		switch {
		case a.Locked == b.Locked:
			return 0
		case b.Locked:
			return -1
		}
		return 1
	})
	return out
}

func (s *Service) reportLocked(records []Record) {
	n := 0
	for _, r := range records {
		if r.Locked && r.State != StateFailed && r.State != StateDeleting {
			n++
		}
	}
	if n > 0 {
		s.log.Error("pods were sealed in another measured state of this machine and cannot be opened; those that run go on, the others wait until their publishers deploy them again or that state is booted", "pods", n)
	}
}

// claimLocked holds a locked pod's names and ports, as far as nobody else has
// them. What it needs of the machine is not known, and not charged.
func (s *Service) claimLocked(r *Record) {
	if err := s.cfg.Routes.Publish(r.ID, r.Endpoints, nil); err != nil {
		s.log.Warn("taking a locked pod's names again", "pod", r.ID, "err", err)
		r.Endpoints = nil
	}
}

// holdLocked keeps a pod whose secrets are not known here. What runs of it was
// started in this boot, in whichever state that was, and goes on; nothing that
// stands still is started, for its keys were released to another state.
func (s *Service) holdLocked(ctx context.Context, p *pod, rec Record) error {
	up, err := s.runningOf(ctx, rec)
	if err != nil {
		return err
	}
	if err := s.publish(p, rec, backendsOf(rec, &manifest.Manifest{}, up)); err != nil {
		return err
	}
	if len(up) == 0 {
		s.cfg.Routes.Explain(rec.ID, lockedReason)
		p.park(rec.Revision, StateWaitingForKeys, lockedReason)
		<-ctx.Done()
		return ctx.Err()
	}
	p.park(rec.Revision, StateRunning, "")
	for n := 0; ; n++ {
		s.awaitExit(ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		still, err := s.runningOf(ctx, rec)
		if err != nil {
			return err
		}
		if len(still) == len(up) {
			n = -1
			continue
		}
		s.narrow(p, rec, still)
		wait(ctx, backoff(n))
		for _, i := range up {
			err := s.announceStart(ctx, p, rec, i.ID)
			if err == nil {
				err = s.cfg.Runtime.Start(ctx, i.ID)
			}
			if err != nil && ctx.Err() == nil {
				s.log.Warn("starting a locked pod's instance again", "instance", i.ID, "err", err)
			}
		}
		if still, err = s.runningOf(ctx, rec); err != nil {
			return err
		}
		if err := s.publish(p, rec, backendsOf(rec, &manifest.Manifest{}, still)); err != nil {
			return err
		}
		if len(still) == 0 {
			return fmt.Errorf("no instance of locked pod %s runs any more", rec.ID)
		}
	}
}

// awaitExit returns when a container of the pod exited, or after a while.
func (s *Service) awaitExit(ctx context.Context, p *pod) {
	look, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	select {
	case <-p.exits:
	case <-look.Done():
	}
}

// runningOf returns the instances of a pod's revision that run.
func (s *Service) runningOf(ctx context.Context, rec Record) ([]Instance, error) {
	have, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	prefix := fmt.Sprintf("%s-%d-", rec.ID, rec.Revision)
	return slices.DeleteFunc(have, func(i Instance) bool { return !strings.HasPrefix(string(i.ID), prefix) || !running(i) }), nil
}

// leftOf returns what there is of a locked pod's revisions, up to its current
// one: its manifest, which would say so, is not known.
func (s *Service) leftOf(ctx context.Context, rec Record) ([]InstanceID, error) {
	have, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	owners, err := s.cfg.Images.Owners(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range have {
		owners = append(owners, i.ID)
	}
	next := fmt.Sprintf("%s-%d-", rec.ID, rec.Revision+1)
	owners = slices.DeleteFunc(owners, func(id InstanceID) bool {
		return !strings.HasPrefix(string(id), string(rec.ID)+"-") || strings.HasPrefix(string(id), next)
	})
	slices.Sort(owners)
	return slices.Compact(owners), nil
}

// park sets a locked pod's state, in this process alone.
func (p *pod) park(revision uint64, state State, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec.Revision == revision && p.rec.Locked && p.rec.State != StateDeleting {
		p.rec.State, p.rec.Reason = state, reason
		p.wake()
	}
}
