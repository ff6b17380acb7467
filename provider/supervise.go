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

const (
	// lookAgain is how often the runtime is asked in case an exit went unnoticed.
	lookAgain = 30 * time.Second
	// calm is how long a container must run for its back-off to start over.
	calm = 10 * time.Minute
)

// supervise keeps a running pod running: containers that exit are started
// again with a growing delay, and a pod whose check fails gets no traffic until
// it passes again. It returns when ctx ends or an instance is gone.
func (s *Service) supervise(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, up []Instance) error {
	p.mu.Lock()
	p.health = ""
	p.mu.Unlock()
	sv := &supervisor{
		s: s, p: p, rec: rec, m: m, up: up, backends: addresses(up), well: true,
		due: map[string]restart{}, failing: map[string]int{}, last: map[string]time.Time{},
	}
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	check := time.NewTicker(shortestInterval(m))
	defer check.Stop()
	if err := sv.look(ctx); err != nil {
		return err
	}
	for {
		var timer <-chan time.Time
		if at, ok := sv.next(); ok {
			// Left to the garbage collector when another case is taken.
			timer = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-p.exits:
			if s.isCurrent(p, e.Instance) {
				sv.exited(e)
			}
		case <-timer:
			sv.restartDue(ctx)
		case <-look.C:
			if err := sv.look(ctx); err != nil {
				return err
			}
		case <-check.C:
			sv.check(ctx)
		}
	}
}

// restart is a start that is to be made.
type restart struct {
	instance  InstanceID
	container string
	at        time.Time
}

type supervisor struct {
	s   *Service
	p   *pod
	rec Record
	m   *manifest.Manifest
	up  []Instance
	// due and last are keyed by instance and container.
	due     map[string]restart
	last    map[string]time.Time
	failing map[string]int
	// backends are those that get traffic; well is set when all do.
	backends []string
	well     bool
}

func (v *supervisor) exited(e Exit) {
	key := exitKey(e)
	if _, pending := v.due[key]; pending {
		return
	}
	v.p.mu.Lock()
	n := v.p.restarts[key]
	if at, ok := v.last[key]; ok && time.Since(at) > calm {
		n = 0
	}
	v.p.restarts[key] = n + 1
	delay := backoff(n)
	why := fmt.Sprintf("%s; it is started again in %s", publicReason(exitError(e)), delay)
	v.p.waiting[key] = why
	v.p.wake()
	v.p.mu.Unlock()
	v.due[key] = restart{e.Instance, e.Container, time.Now().Add(delay)}
	v.s.cfg.Routes.Explain(v.rec.ID, why)
	v.s.log.Info("container exited", "pod", v.rec.ID, "instance", e.Instance, "container", e.Container, "code", e.Code, "oom", e.OOMKilled, "restart_in", delay)
}

// next is when the first restart is due.
func (v *supervisor) next() (at time.Time, ok bool) {
	for _, r := range v.due {
		if !ok || r.at.Before(at) {
			at, ok = r.at, true
		}
	}
	return at, ok
}

func (v *supervisor) restartDue(ctx context.Context) {
	now := time.Now()
	for key, r := range v.due {
		if r.at.After(now) {
			continue
		}
		if err := v.s.cfg.Runtime.Start(ctx, r.instance); err != nil {
			v.s.log.Warn("starting a container again", "instance", r.instance, "container", r.container, "err", err)
			r.at = now.Add(lookAgain)
			v.due[key] = r
			continue
		}
		delete(v.due, key)
		v.last[key] = now
		v.p.mu.Lock()
		delete(v.p.waiting, key)
		v.p.wake()
		v.p.mu.Unlock()
		if len(v.due) == 0 {
			v.s.cfg.Routes.Explain(v.rec.ID, "")
		}
	}
}

// look finds exits that nobody told of, and instances that are gone.
func (v *supervisor) look(ctx context.Context) error {
	have, err := v.s.list(ctx)
	if err != nil {
		// Not knowing is no reason to touch a pod.
		v.s.log.Warn("looking at instances", "pod", v.rec.ID, "err", err)
		return nil
	}
	byID := map[InstanceID]Instance{}
	for _, i := range have {
		byID[i.ID] = i
	}
	for _, i := range v.up {
		now, ok := byID[i.ID]
		if !ok {
			v.s.narrow(v.p, v.rec, have)
			return status.New(status.Unavailable, "pod.vanished", "instance %s is gone from the runtime", i.ID)
		}
		for _, c := range now.Containers {
			if !c.Running {
				v.exited(Exit{Instance: i.ID, Container: c.Name, Code: c.ExitCode, OOMKilled: c.OOMKilled})
			}
		}
	}
	return nil
}

// check runs the manifest's own health checks and takes a failing pod out of traffic.
func (v *supervisor) check(ctx context.Context) {
	var healthy []Instance
	var why string
	for _, inst := range v.up {
		ok := true
		for _, c := range v.m.Containers {
			if c.Health == nil {
				continue
			}
			key := string(inst.ID) + "/" + c.Name
			err := v.s.probe(ctx, inst, c)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				v.failing[key] = 0
				continue
			}
			v.failing[key]++
			if v.failing[key] >= int(c.Health.Failures) {
				ok, why = false, fmt.Sprintf("container %s fails its health check: %v", c.Name, err)
			}
		}
		if ok {
			healthy = append(healthy, inst)
		}
	}
	backends := addresses(healthy)
	if slices.Equal(backends, v.backends) && (why == "") == v.well {
		return
	}
	if err := v.s.publish(v.p, v.rec, backendsOf(v.rec, v.m, healthy)); errors.Is(err, errOvertaken) {
		return // the driver hears of it in a moment
	} else if err != nil {
		v.s.log.Warn("publishing routes", "pod", v.rec.ID, "err", err)
		return
	}
	v.backends, v.well = backends, why == ""
	// After it, for a publication ends what was explained.
	if why != "" {
		v.s.cfg.Routes.Explain(v.rec.ID, why)
	}
	v.p.mu.Lock()
	v.p.health = why
	v.p.mu.Unlock()
}

// shortestInterval is how often a manifest wants its containers checked.
func shortestInterval(m *manifest.Manifest) time.Duration {
	d := lookAgain
	for _, c := range m.Containers {
		if c.Health != nil {
			d = min(d, c.Health.Interval)
		}
	}
	return max(d, 100*time.Millisecond)
}

// isCurrent reports whether an instance belongs to the current revision.
func (s *Service) isCurrent(p *pod, id InstanceID) bool {
	rec := p.record()
	return strings.HasPrefix(string(id), instancePrefix(rec.ID, rec.Revision))
}
