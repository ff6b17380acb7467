package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// logTail is how many of an app's last lines go with the news that it failed.
const logTail = 20

// Delete removes a publisher's pod and waits until nothing of it is left.
func (s *Service) Delete(ctx context.Context, publisher PublisherID, name string, keepVolumes bool) error {
	p, err := s.find(publisher, name)
	if err != nil {
		return err
	}
	acquired, err := p.acquire(ctx, [16]byte{})
	if err != nil {
		return err
	}
	if !acquired {
		return status.New(status.Conflict, "pod.busy", "another request is changing pod %q", name).WithRetryAfter(retrySoon)
	}
	err = s.update(ctx, p, func(r *Record) {
		r.State, r.Reason = StateDeleting, ""
		if keepVolumes {
			r.Reason = reasonKeepVolumes
		}
	})
	p.yield()
	if err != nil {
		return err
	}
	s.ledger.retire(publisher, p.record().RequestID)
	p.disturb()
	for {
		p.mu.Lock()
		gone, changed := p.gone, p.changed
		p.mu.Unlock()
		if gone {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reasonKeepVolumes is the reason of a pod that is deleted but for its volumes.
const reasonKeepVolumes = "deleting, persistent volumes are kept"

// tearDown removes everything of a pod; its record goes last.
func (s *Service) tearDown(ctx context.Context, p *pod) error {
	rec := p.record()
	s.cfg.Routes.Withdraw(rec.ID)
	if err := s.removeInstances(ctx, rec, stopGrace, "requested"); err != nil {
		return err
	}
	if err := s.dropAll(ctx, p); err != nil {
		return err
	}
	if rec.Reason != reasonKeepVolumes {
		if err := s.cfg.Volumes.RemoveVolumes(ctx, rec.ID); err != nil {
			return fmt.Errorf("removing the volumes of pod %s: %w", rec.ID, err)
		}
	}
	if err := s.removeRecord(ctx, p); err != nil {
		return fmt.Errorf("removing the record of pod %s: %w", rec.ID, err)
	}
	s.cfg.Capacity.Release(rec.ID)
	s.cfg.Capacity.Release(surge(rec.ID))
	s.mu.Lock()
	delete(s.pods, rec.ID)
	s.mu.Unlock()
	p.mu.Lock()
	p.gone = true
	p.wake()
	p.mu.Unlock()
	s.log.Info("pod deleted", "pod", rec.ID, "name", rec.Name)
	return nil
}

// removeRecord removes a pod's record, so that nobody stores it again.
func (s *Service) removeRecord(ctx context.Context, p *pod) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := s.cfg.Store.Delete(ctx, p.rec.ID); err != nil {
		return err
	}
	p.removed = true
	return nil
}

// removeInstances removes all instances of a pod, of whichever revision.
func (s *Service) removeInstances(ctx context.Context, rec Record, grace time.Duration, cause string) error {
	have, err := s.list(ctx)
	if err != nil {
		return err
	}
	ids := map[InstanceID]bool{}
	for _, i := range have {
		if strings.HasPrefix(string(i.ID), string(rec.ID)+"-") {
			ids[i.ID] = true
		}
	}
	for _, id := range rec.Obsolete {
		ids[id] = true
	}
	// What a crash left half made is not listed, and is removed by name.
	if m, err := manifest.Unmarshal(rec.Manifest); err == nil {
		for n := range m.Replicas.Min {
			ids[instanceID(rec.ID, rec.Revision, n)] = true
		}
	}
	for id := range ids {
		if err := s.removeInstance(ctx, id, grace, cause); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) removeInstance(ctx context.Context, id InstanceID, grace time.Duration, cause string) error {
	if err := s.cfg.Runtime.Remove(ctx, id, grace); err != nil {
		return fmt.Errorf("removing instance %s: %w", id, err)
	}
	s.noteStop(ctx, id, cause)
	if s.keepsImages(id) {
		return nil
	}
	if err := s.cfg.Images.Release(ctx, id); err != nil {
		return fmt.Errorf("releasing the images of %s: %w", id, err)
	}
	return nil
}

// keepsImages reports whether an instance's images are kept for a roll back.
func (s *Service) keepsImages(id InstanceID) bool {
	pod, _, _ := strings.Cut(string(id), "-")
	s.mu.Lock()
	p := s.pods[PodID(pod)]
	s.mu.Unlock()
	return p != nil && p.keeps(id)
}

// removeObsolete removes the instances of earlier revisions.
func (s *Service) removeObsolete(ctx context.Context, p *pod) error {
	rec := p.record()
	if len(rec.Obsolete) == 0 {
		return nil
	}
	if rec.State != StateRunning {
		s.narrow(p, rec, nil)
		s.cfg.Routes.Explain(rec.ID, "a new revision is starting")
	}
	for _, id := range rec.Obsolete {
		if err := s.removeInstance(ctx, id, stopGrace, "replaced"); err != nil {
			return err
		}
	}
	return s.advance(ctx, p, rec.Revision, func(r *Record) {
		r.Obsolete = nil
		s.cfg.Capacity.Release(surge(rec.ID))
	})
}

// fail records that a pod did not come up and removes what there is of it.
// Its secrets are forgotten, its record stays for those who ask why.
func (s *Service) fail(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, cause error) error {
	public := p.failed()
	if public == nil {
		s.log.Warn("pod failed", "pod", rec.ID, "name", rec.Name, "err", cause)
		if public = status.Public(cause); len(public.Log) == 0 {
			public.Log = s.lastLines(ctx, rec, m)
		}
	}
	s.narrow(p, rec, nil)
	s.cfg.Routes.Explain(rec.ID, public.Detail)
	err := s.removeInstances(ctx, rec, stopGrace, "failed")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.fails(rec.Revision, public)
		return err
	}
	// An order that is being placed may hold the pod's name and capacity already.
	if err := p.hold(ctx); err != nil {
		return err
	}
	defer p.yield()
	if m != nil {
		s.remember(ctx, p, rec, OutcomeFailed, func(r *Past) { r.Reason, r.Log = public.Detail, public.Log })
	}
	if replaced := p.replacedBy(rec.Revision); replaced > 0 {
		if back, err := s.past(ctx, rec, replaced); err == nil {
			return s.restore(ctx, p, rec, back, public)
		}
	}
	return s.advance(ctx, p, rec.Revision, func(r *Record) {
		p.failure = public
		r.State, r.Reason = StateFailed, public.Detail
		r.Manifest, r.Keys, r.Secrets, r.Obsolete = nil, nil, nil, nil
		// Before anybody is told, who may ask for the place at once; and also
		// where the disk is too full to store it.
		s.cfg.Routes.Withdraw(rec.ID)
		s.cfg.Capacity.Release(rec.ID)
		s.cfg.Capacity.Release(surge(rec.ID))
	})
}

// lastLines are the last lines that an app wrote; what cannot be read is left out.
func (s *Service) lastLines(ctx context.Context, rec Record, m *manifest.Manifest) []string {
	if m == nil {
		return nil
	}
	var lines []string
	for n := range m.Replicas.Min {
		err := s.cfg.Logs.ReadLogs(ctx, LogQuery{Instance: instanceID(rec.ID, rec.Revision, n), Tail: logTail}, func(l LogLine) error {
			lines = append(lines, l.Container+": "+string(l.Text))
			return nil
		})
		if err != nil {
			s.log.Debug("reading the last lines", "pod", rec.ID, "err", err)
		}
	}
	return lines[max(0, len(lines)-logTail):]
}

// keepFailed keeps a failed pod's record for a while and then drops it.
func (s *Service) keepFailed(ctx context.Context, p *pod, rec Record) error {
	wait(ctx, rec.Updated.Add(failedLifetime).Sub(s.cfg.Now()))
	if err := p.hold(ctx); err != nil {
		return err
	}
	defer p.yield()
	return s.advance(ctx, p, rec.Revision, func(r *Record) { r.State = StateDeleting })
}

// sweep removes instances and images that no record knows: what a crash left
// between making them and storing that they exist.
func (s *Service) sweep(ctx context.Context) {
	have, err := s.list(ctx)
	if err != nil {
		s.log.Warn("sweeping left-over instances", "err", err)
	}
	owners, err := s.cfg.Images.Owners(ctx)
	if err != nil {
		s.log.Warn("sweeping left-over images", "err", err)
	}
	left := map[InstanceID]bool{}
	for _, i := range have {
		left[i.ID] = true
	}
	for _, id := range owners {
		left[id] = true
	}
	for id := range left {
		// Builds remove their own pods, and release what they made.
		if id.Build() || id.Made() || s.knows(id) || s.keepsImages(id) && !slices.ContainsFunc(have, func(i Instance) bool { return i.ID == id }) {
			continue
		}
		if err := s.removeInstance(ctx, id, 0, "left-over"); err != nil {
			s.log.Warn("removing a left-over instance", "instance", id, "err", err)
			continue
		}
		s.log.Info("removed a left-over instance", "instance", id)
	}
}

// knows reports whether a record knows an instance.
func (s *Service) knows(id InstanceID) bool {
	pod, _, _ := strings.Cut(string(id), "-")
	s.mu.Lock()
	p, ok := s.pods[PodID(pod)]
	s.mu.Unlock()
	return ok && (s.isCurrent(p, id) || slices.Contains(p.record().Obsolete, id))
}
