package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	retrySoon = 2 * time.Second
	// stopGrace is how long an app has between SIGTERM and SIGKILL.
	stopGrace = 10 * time.Second
	// fetchPatience is how long a new pod waits for an image whose publisher
	// does not answer: a publisher that was interrupted comes back within it.
	fetchPatience = 2 * time.Minute
	// failedLifetime is how long the record of a pod that failed is kept, so
	// that its publisher can still ask why.
	failedLifetime = 24 * time.Hour
)

// drive brings a pod to what its record says and keeps it there, until ctx
// ends or the pod is deleted. It is the only one who touches the runtime for
// the pod's current revision.
func (s *Service) drive(ctx context.Context, p *pod) {
	failures := 0
	for ctx.Err() == nil && !p.isGone() {
		actx, cancel := p.attempt(ctx)
		began := time.Now()
		err := s.step(actx, p)
		if err == nil || errors.Is(err, errOvertaken) || time.Since(began) > calm {
			failures = 0
		}
		if err != nil && !errors.Is(err, errOvertaken) && actx.Err() == nil {
			s.log.Warn("pod is not up", "pod", p.record().ID, "err", err)
			// Within the attempt, so that no change is slept over.
			wait(actx, backoff(failures))
			failures++
		}
		if actx.Err() != nil {
			failures = 0
		}
		cancel()
	}
}

// step does what the record's state asks for. It returns when that is done,
// impossible for now, or overtaken.
func (s *Service) step(ctx context.Context, p *pod) error {
	rec := p.record()
	if rec.State == StateDeleting {
		return s.tearDown(ctx, p)
	}
	if rec.Locked && rec.State != StateFailed {
		return s.holdLocked(ctx, p, rec)
	}
	// What a running revision replaced goes when the routes lead to the new one.
	if rec.State != StateRunning {
		if err := s.removeObsolete(ctx, p); err != nil {
			return err
		}
	}
	if rec.State == StateFailed {
		return s.keepFailed(ctx, p, rec)
	}
	m, err := manifest.Unmarshal(rec.Manifest)
	if err != nil {
		return s.fail(ctx, p, rec, nil, fmt.Errorf("reading the stored manifest: %w", err))
	}
	if why := p.failed(); why != nil {
		return s.fail(ctx, p, rec, m, why)
	}
	fresh := rec.State != StateRunning
	up, err := s.bringUp(ctx, p, rec, m)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errOvertaken), errors.Is(err, errBlind):
		// Not knowing is no reason to touch a pod.
		return err
	case err != nil && fresh && !s.mayStillCome(rec, err):
		return s.fail(ctx, p, rec, m, err)
	case err != nil:
		s.cfg.Routes.Explain(rec.ID, publicReason(err))
		return err
	}
	return s.serve(ctx, p, rec, m, up)
}

// mayStillCome reports whether a new pod's error is one that time may mend.
func (s *Service) mayStillCome(rec Record, err error) bool {
	return status.CodeOf(err) == status.Unavailable && s.cfg.Now().Sub(rec.Updated) < fetchPatience
}

// bringUp makes every replica of the current revision run and, for a revision
// that never did, pass its health checks. Replicas that run already are left alone.
func (s *Service) bringUp(ctx context.Context, p *pod, rec Record, m *manifest.Manifest) ([]Instance, error) {
	have, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.ensureAnnounced(ctx, p, rec); err != nil {
		return nil, err
	}
	fresh := rec.State != StateRunning
	for n := range m.Replicas.Min {
		id := instanceID(rec.ID, rec.Revision, n)
		i := slices.IndexFunc(have, func(x Instance) bool { return x.ID == id })
		if i >= 0 && s.measured(p, id, m) {
			if running(have[i]) {
				continue
			}
			if err := s.announceStart(ctx, p, rec, id); err != nil {
				return nil, err
			}
			if s.cfg.Runtime.Start(ctx, id) == nil {
				continue
			}
		}
		if err := ctx.Err(); err != nil {
			// It was the start that was interrupted: nothing is wrong with the instance.
			return nil, err
		}
		s.narrow(p, rec, slices.DeleteFunc(slices.Clone(have), func(x Instance) bool { return x.ID == id }))
		if err := s.create(ctx, p, rec, m, id); err != nil {
			return nil, err
		}
		if err := s.starting(ctx, p, rec); err != nil {
			return nil, err
		}
		p.report(Progress{Stage: StageStarting})
		if err := s.announceStart(ctx, p, rec, id); err != nil {
			return nil, err
		}
		if err := s.cfg.Runtime.Start(ctx, id); err != nil {
			return nil, err
		}
	}
	up, err := s.own(ctx, rec, m)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := s.starting(ctx, p, rec); err != nil {
			return nil, err
		}
		if err := s.awaitHealthy(ctx, newEarly(rec, p.exits), m, up); err != nil {
			return nil, err
		}
	}
	if err := s.publish(p, rec, backendsOf(rec, m, up)); err != nil {
		return nil, err
	}
	if err := s.advance(ctx, p, rec.Revision, func(r *Record) { r.State, r.Reason = StateRunning, "" }); err != nil {
		return nil, err
	}
	s.remember(ctx, p, rec, OutcomeUp, nil)
	return up, nil
}

// starting stores that a new revision has been made and is being started.
func (s *Service) starting(ctx context.Context, p *pod, rec Record) error {
	if have := p.record(); rec.State == StateRunning || have.State == StateStarting {
		return nil
	}
	return s.advance(ctx, p, rec.Revision, func(r *Record) { r.State = StateStarting })
}

// create fetches a replica's images and makes it, unless an update prepared it.
func (s *Service) create(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, id InstanceID) error {
	if rec.State == StateAccepted && p.record().State == StateAccepted {
		if err := s.advance(ctx, p, rec.Revision, func(r *Record) { r.State = StateFetching }); err != nil {
			return err
		}
	}
	return s.build(ctx, p, rec, m, id, p.report)
}

// build fetches the images of one replica, makes the instance and logs what it is.
func (s *Service) build(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, id InstanceID, report func(Progress)) error {
	// Layers arrive while they are unpacked; what is still on its way when the
	// runtime gives up is stopped with it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spec := InstanceSpec{
		ID: id, Pod: rec.ID, Publisher: rec.Publisher, Name: rec.Name, Class: m.RuntimeClass,
		Volumes: m.Volumes, Secrets: rec.Secrets,
	}
	for _, c := range m.Containers {
		img, err := s.cfg.Images.Fetch(ctx, id, ImageRequest{Image: c.Image, Peer: rec.Publisher}, report)
		if err != nil {
			return fmt.Errorf("fetching the image of container %s: %w", c.Name, err)
		}
		if img.Close != nil {
			defer img.Close()
		}
		spec.Containers = append(spec.Containers, ContainerSpec{Container: c, Image: img, Key: rec.Keys[c.Image.KeyID]})
	}
	made, err := s.cfg.Runtime.Create(ctx, spec, report)
	if err != nil {
		return err
	}
	// Layers that were unpacked already for another pod have to be here, too:
	// all but volumes can be rebuilt from ciphertext.
	for _, c := range spec.Containers {
		if c.Image.Wait == nil {
			continue
		}
		if err := c.Image.Wait(ctx); err != nil {
			return errors.Join(err, s.cfg.Runtime.Remove(context.WithoutCancel(ctx), id, 0))
		}
	}
	for _, c := range m.Containers {
		if got := made.ImageIDs[c.Name]; got != c.Image.ImageID {
			return errors.Join(
				status.New(status.Untrusted, "image.id", "container %s would run image %s, the manifest pins %s", c.Name, got, c.Image.ImageID),
				s.cfg.Runtime.Remove(context.WithoutCancel(ctx), id, 0))
		}
	}
	if err := s.announceExecs(ctx, p, rec, m, id, made); err != nil {
		return errors.Join(err, s.cfg.Runtime.Remove(context.WithoutCancel(ctx), id, 0))
	}
	return nil
}

// prepare makes every replica of a revision without starting it.
func (s *Service) prepare(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, report func(Progress)) error {
	for n := range m.Replicas.Min {
		if err := s.build(ctx, p, rec, m, instanceID(rec.ID, rec.Revision, n), report); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what prepare made.
func (s *Service) discard(ctx context.Context, rec Record, replicas uint32) error {
	// The caller may have gone away; what was made must go all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for n := range replicas {
		id := instanceID(rec.ID, rec.Revision, n)
		err := s.cfg.Runtime.Remove(ctx, id, 0)
		if err == nil {
			s.noteStop(ctx, id, "failed")
		}
		errs = append(errs, err, s.cfg.Images.Release(ctx, id))
	}
	return errors.Join(errs...)
}

// own lists the current revision's instances.
func (s *Service) own(ctx context.Context, rec Record, m *manifest.Manifest) ([]Instance, error) {
	have, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var up []Instance
	for n := range m.Replicas.Min {
		id := instanceID(rec.ID, rec.Revision, n)
		i := slices.IndexFunc(have, func(x Instance) bool { return x.ID == id })
		if i < 0 {
			return nil, status.New(status.Unavailable, "pod.vanished", "replica %d of pod %q is gone", n, rec.Name)
		}
		up = append(up, have[i])
	}
	return up, nil
}

// errBlind is in the cause of every error that says that the runtime could not
// be looked at.
var errBlind = errors.New("instances cannot be listed")

// list is what the runtime has.
func (s *Service) list(ctx context.Context) ([]Instance, error) {
	have, err := s.cfg.Instances.List(ctx)
	if err != nil {
		return nil, status.Wrap(errors.Join(errBlind, err), status.Unavailable, "runtime.silent", "the container runtime does not answer").
			WithRetryAfter(retrySoon)
	}
	return have, nil
}

func running(i Instance) bool {
	return !slices.ContainsFunc(i.Containers, func(c ContainerState) bool { return !c.Running })
}

func addresses(instances []Instance) []string {
	var out []string
	for _, i := range instances {
		out = append(out, i.IP)
	}
	return out
}

// backendsOf are instances of one revision as routes know them.
func backendsOf(rec Record, m *manifest.Manifest, instances []Instance) []Backend {
	ids := make([]string, 0, len(m.Containers))
	for _, c := range m.Containers {
		ids = append(ids, c.Image.ImageID)
	}
	var out []Backend
	for _, i := range instances {
		out = append(out, Backend{Addr: i.IP, Manifest: rec.ManifestDigest, ImageIDs: ids})
	}
	return out
}

func (p *pod) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// wait sleeps for d, less when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// publicReason is why a pod is not up, for its users.
func publicReason(err error) string { return status.Public(err).Detail }
