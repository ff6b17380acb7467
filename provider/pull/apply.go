package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// apply makes a namespace what a commit says. What is removed goes last, so that an
// update that fails has removed nothing.
func (p *Puller) apply(ctx context.Context, c *change, g *deploy.Group) error {
	results, changed := p.compare(ctx, c)
	if err := g.Update(ctx, func(d *deploy.Deployment) { d.Results = results }); err != nil {
		return err
	}
	if err := p.deploy(ctx, c, g, changed); err != nil {
		return err
	}
	if err := p.prune(ctx, c, g); err != nil {
		return err
	}
	return p.keep(ctx, c, func(s *state) { s.Commit, s.Partial, s.At = c.resolved.Commit.ID, "", p.set.Now() })
}

// keep stores what came of a change, where the namespace has that repository yet:
// what is applied of one is not another's to remove, and nobody's after its end.
func (p *Puller) keep(ctx context.Context, c *change, fn func(s *state)) error {
	_, err := p.names.change(ctx, c.state.Namespace, func(s *state, known bool) error {
		if !known || s.Repo != c.state.Repo {
			return status.New(status.Conflict, "sync.version", "the namespace's repository was changed meanwhile")
		}
		fn(s)
		return nil
	})
	return err
}

// compare says what is to be done with each app, and which need a deployment.
func (p *Puller) compare(ctx context.Context, c *change) (results []deploy.Result, changed []wanted) {
	for _, w := range c.wanted {
		before, known := c.state.Apps[w.key()]
		operation, pending := "create", "pending"
		switch {
		case known && before.Fingerprint == w.fingerprint && p.stands(ctx, c.state.Namespace, w, before):
			operation, pending = "noop", "success"
		case known:
			operation = "update"
		}
		if pending == "pending" {
			changed = append(changed, w)
		}
		results = append(results, deploy.Result{Name: w.key(), Operation: operation, Status: pending})
	}
	for _, key := range c.gone() {
		results = append(results, deploy.Result{Name: key, Operation: "delete", Status: "pending"})
	}
	return results, changed
}

// stands reports whether what was applied is still what the app has.
func (p *Puller) stands(ctx context.Context, namespace string, w wanted, before applied) bool {
	all, _, err := p.set.Apps.ListDeployments(ctx, namespace, before.App, deploy.Page{})
	if err != nil {
		return false
	}
	for _, d := range all {
		if d.Environment == w.m.Environment && d.Status == deploy.Succeeded {
			return d.ID == before.Deployment
		}
	}
	return false
}

// gone are the apps that were applied, and have no manifest any more.
func (c *change) gone() []string {
	var out []string
	for key := range c.state.Apps {
		if !slices.ContainsFunc(c.wanted, func(w wanted) bool { return w.key() == key }) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// deploy deploys what changed, all at once. Nothing is placed until every image
// is made.
func (p *Puller) deploy(ctx context.Context, c *change, g *deploy.Group, changed []wanted) error {
	gate := newGate(len(changed))
	errs := make([]error, len(changed))
	var wg sync.WaitGroup
	for i, w := range changed {
		wg.Go(func() {
			errs[i] = p.one(ctx, c, g, w, gate)
		})
	}
	wg.Wait()
	// What the others say of the one that could not be built is no cause.
	causes := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return status.ReasonOf(err) == "sync.aborted" })
	if err := errors.Join(causes...); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// one deploys one app and remembers it.
func (p *Puller) one(ctx context.Context, c *change, g *deploy.Group, w wanted, gate *gate) error {
	mine := gate.visitor()
	d, err := p.set.Deploys.Submit(ctx, c.request(w, g.ID(), mine.wait))
	if err == nil {
		err = p.set.Deploys.Watch(ctx, c.state.Namespace, d.ID, 0, func(e deploy.Event) error {
			if e.Kind == "log" && e.Text != "" {
				g.Say(w.key() + ": " + e.Text)
			}
			if e.Deployment != nil {
				d = *e.Deployment
			}
			return nil
		})
	}
	if err == nil && d.Status != deploy.Succeeded {
		err = failed(w, d)
	}
	mine.leave(err)
	if err == nil {
		err = p.keep(ctx, c, func(s *state) {
			s.Partial = c.resolved.Commit.ID
			s.Apps[w.key()] = applied{App: d.AppID, Deployment: d.ID, Fingerprint: w.fingerprint}
		})
	}
	return errors.Join(err, g.Update(ctx, func(all *deploy.Deployment) {
		for i := range all.Results {
			r := &all.Results[i]
			if r.Name != w.key() {
				continue
			}
			r.Status, r.DeploymentID, r.URL = "success", d.ID, d.URL
			if err != nil {
				r.Status, r.Message = "failed", status.Public(err).Detail
			}
		}
	}))
}

// failed is why an app's deployment did.
func failed(w wanted, d deploy.Deployment) error {
	if d.Failure == nil {
		return status.New(status.Conflict, "sync.app", "%s is %s", w.key(), d.Status)
	}
	e := status.New(d.Failure.Class, d.Failure.Code, "%s: %s", w.key(), d.Failure.Detail)
	if d.Failure.Hint != "" {
		e = e.WithHint("%s", d.Failure.Hint)
	}
	e.Log = d.Failure.Log
	return e
}

// prune removes the apps that have no manifest any more, with their data.
func (p *Puller) prune(ctx context.Context, c *change, g *deploy.Group) error {
	var errs []error
	for _, key := range c.gone() {
		_, environment, _ := strings.Cut(key, "/")
		err := p.set.Apps.DeleteEnvironment(ctx, c.state.Namespace, c.state.Apps[key].App, environment)
		if status.CodeOf(err) == status.NotFound {
			err = nil
		}
		if err == nil {
			err = p.keep(ctx, c, func(s *state) { delete(s.Apps, key) })
		}
		if err != nil {
			err = fmt.Errorf("removing %s: %w", key, err)
		}
		errs = append(errs, err, g.Update(ctx, func(all *deploy.Deployment) {
			for i := range all.Results {
				if r := &all.Results[i]; r.Name == key {
					r.Status = "success"
					if err != nil {
						r.Status, r.Message = "failed", status.Public(err).Detail
					}
				}
			}
		}))
	}
	return errors.Join(errs...)
}
