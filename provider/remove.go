package provider

import (
	"context"
	"errors"
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
	if !p.acquire() {
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
	if err := s.removeInstances(ctx, rec, stopGrace); err != nil {
		return err
	}
	if rec.Reason != reasonKeepVolumes {
		if err := s.cfg.Volumes.RemoveVolumes(ctx, rec.ID); err != nil {
			return fmt.Errorf("removing the volumes of pod %s: %w", rec.ID, err)
		}
	}
	if err := s.cfg.Store.Delete(ctx, rec.ID); err != nil {
		return fmt.Errorf("removing the record of pod %s: %w", rec.ID, err)
	}
	s.cfg.Capacity.Release(rec.ID)
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

// removeInstances removes all instances of a pod, of whichever revision.
func (s *Service) removeInstances(ctx context.Context, rec Record, grace time.Duration) error {
	have, err := s.cfg.Instances.List(ctx)
	if err != nil {
		return fmt.Errorf("listing instances: %w", err)
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
		if err := s.removeInstance(ctx, id, grace); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) removeInstance(ctx context.Context, id InstanceID, grace time.Duration) error {
	if err := s.cfg.Runtime.Remove(ctx, id, grace); err != nil {
		return fmt.Errorf("removing instance %s: %w", id, err)
	}
	if err := s.cfg.Images.Release(ctx, id); err != nil {
		return fmt.Errorf("releasing the images of %s: %w", id, err)
	}
	return nil
}

// removeObsolete removes the instances of earlier revisions.
func (s *Service) removeObsolete(ctx context.Context, p *pod) error {
	rec := p.record()
	if len(rec.Obsolete) == 0 {
		return nil
	}
	s.cfg.Routes.Explain(rec.ID, "a new revision is starting")
	for _, id := range rec.Obsolete {
		if err := s.removeInstance(ctx, id, stopGrace); err != nil {
			return err
		}
	}
	return s.update(ctx, p, func(r *Record) { r.Obsolete = nil })
}

// fail records that a pod did not come up and removes what there is of it.
// Its secrets are forgotten, its record stays for those who ask why.
func (s *Service) fail(ctx context.Context, p *pod, m *manifest.Manifest, cause error) error {
	rec := p.record()
	lines := s.lastLines(ctx, rec, m)
	s.cfg.Routes.Explain(rec.ID, publicReason(cause))
	cleanErr := s.removeInstances(ctx, rec, stopGrace)
	public := status.Public(cause)
	if len(public.Log) == 0 {
		public.Log = lines
	}
	p.mu.Lock()
	p.failure = public
	p.wake()
	p.mu.Unlock()
	if cleanErr != nil {
		return errors.Join(cause, cleanErr)
	}
	s.cfg.Routes.Withdraw(rec.ID)
	s.cfg.Capacity.Release(rec.ID)
	s.log.Warn("pod failed", "pod", rec.ID, "name", rec.Name, "err", cause)
	return s.update(ctx, p, func(r *Record) {
		r.State, r.Reason = StateFailed, public.Detail
		r.Manifest, r.Keys, r.Secrets, r.Obsolete = nil, nil, nil, nil
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
func (s *Service) keepFailed(ctx context.Context, p *pod) error {
	t := time.NewTimer(p.record().Updated.Add(failedLifetime).Sub(s.cfg.Now()))
	defer t.Stop()
	select {
	case <-t.C:
		return s.update(ctx, p, func(r *Record) { r.State = StateDeleting })
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sweep removes instances that no record knows: what a crash left between
// making them and storing that they exist.
func (s *Service) sweep(ctx context.Context) {
	have, err := s.cfg.Instances.List(ctx)
	if err != nil {
		s.log.Warn("sweeping left-over instances", "err", err)
		return
	}
	for _, i := range have {
		s.mu.Lock()
		p, known := s.pods[i.Pod]
		s.mu.Unlock()
		if known {
			rec := p.record()
			known = s.isCurrent(p, i.ID) || slices.Contains(rec.Obsolete, i.ID)
		}
		if known {
			continue
		}
		if err := s.removeInstance(ctx, i.ID, 0); err != nil {
			s.log.Warn("removing a left-over instance", "instance", i.ID, "err", err)
			continue
		}
		s.log.Info("removed a left-over instance", "instance", i.ID)
	}
}
