package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Deployment returns a deployment.
func (o *Orchestrator) Deployment(_ context.Context, namespace, id string) (Deployment, error) {
	d, err := o.find(namespace, id)
	if err != nil {
		return Deployment{}, err
	}
	return d.get(), nil
}

// ListDeployments returns a page of an app's deployments, newest first.
func (o *Orchestrator) ListDeployments(ctx context.Context, namespace, appID string, p Page) ([]Deployment, int, error) {
	if _, err := o.App(ctx, namespace, appID); err != nil {
		return nil, 0, err
	}
	o.mu.Lock()
	all := o.of(appID)
	o.mu.Unlock()
	out := make([]Deployment, 0, len(all))
	for _, d := range all {
		if now := d.get(); p.labelled(now.Labels) {
			out = append(out, now)
		}
	}
	return pageOf(out, p), len(out), nil
}

// Cancel ends a deployment whose order is not placed yet.
func (o *Orchestrator) Cancel(ctx context.Context, namespace, id string) (Deployment, error) {
	d, err := o.find(namespace, id)
	if err != nil {
		return Deployment{}, err
	}
	d.mu.Lock()
	if d.now.Status.Ended() {
		defer d.mu.Unlock()
		return Deployment{}, status.New(status.Conflict, "deployment.ended", "the deployment is %s", d.now.Status)
	}
	if d.placed {
		defer d.mu.Unlock()
		return Deployment{}, status.New(status.Conflict, "deployment.placed", "the new revision is being started").
			WithHint("wait for it, and roll back")
	}
	d.cancelled = true
	if d.cancel != nil {
		d.cancel()
	}
	d.mu.Unlock()
	// Lines of a build's log may come before the end.
	for {
		d.mu.Lock()
		now, changed := d.now, d.changed
		d.mu.Unlock()
		if now.Status.Ended() {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// Rollback brings back what a deployment ran, as a new deployment.
func (o *Orchestrator) Rollback(ctx context.Context, namespace, id, by string) (Deployment, error) {
	old, err := o.ran(ctx, namespace, id)
	if err != nil {
		return Deployment{}, err
	}
	if err := o.allowed(Request{Namespace: old.Namespace}); err != nil {
		return Deployment{}, err
	}
	next := o.again(old, old.Environment, by)
	next.Rollback = old.Revision
	return o.follow(ctx, next, func(ctx context.Context, d *deployment) error {
		key := podKey{tenantOf(old.Namespace), podName(old.App, old.Environment)}
		free, err := o.turns.take(ctx, key)
		if err != nil {
			return err
		}
		defer free()
		d.mu.Lock()
		d.placed = true
		d.mu.Unlock()
		source, err := json.Marshal(origin{d.id, old.Source})
		if err != nil {
			return err
		}
		req := provider.RollbackRequest{Publisher: key.tenant, Name: key.name, RequestID: d.order, To: old.Revision, Source: source}
		got, err := o.cfg.Orders.Rollback(ctx, req,
			func(p provider.Progress) { o.progress(d, stageOf(p.Stage), p.Done, p.Total) })
		if err != nil {
			return err
		}
		return o.succeed(ctx, d, got, "update")
	})
}

// Promote runs in another environment what a deployment ran, as a new deployment.
func (o *Orchestrator) Promote(ctx context.Context, namespace, id, environment, by string) (Deployment, error) {
	old, err := o.ran(ctx, namespace, id)
	if err != nil {
		return Deployment{}, err
	}
	if err := o.allowed(Request{Namespace: old.Namespace}); err != nil {
		return Deployment{}, err
	}
	if environment == "" {
		environment = production
	}
	if !label.MatchString(environment) || environment == old.Environment || len(podName(old.App, environment)) > 63 {
		return Deployment{}, status.Invalid("deploy.invalid", "the promotion", []status.Fault{{Field: "/environment", Got: environment, Want: "a DNS label in lower case, and another environment than " + old.Environment}})
	}
	order, err := o.cfg.Pods.Ordered(ctx, tenantOf(old.Namespace), podName(old.App, old.Environment), old.Revision)
	if err != nil {
		return Deployment{}, err
	}
	m, err := manifest.Unmarshal(order.Manifest)
	if err != nil {
		return Deployment{}, fmt.Errorf("reading the deployment's manifest: %w", err)
	}
	m.Name = podName(old.App, environment)
	if order.Manifest, err = manifest.Marshal(m); err != nil {
		return Deployment{}, err
	}
	next := o.again(old, environment, by)
	next.Promoted = old.ID
	order.Expected = 0
	return o.follow(ctx, next, func(ctx context.Context, d *deployment) error { return o.place(ctx, d, order) })
}

// again is a new deployment of what an old one ran.
func (o *Orchestrator) again(old Deployment, environment, by string) Deployment {
	now := o.cfg.Now()
	next := Deployment{
		ID: newID(), Namespace: old.Namespace, App: old.App, AppID: old.AppID, Environment: environment, Status: Pending,
		Source: old.Source, ArtifactID: old.ArtifactID, BuildID: old.BuildID, ImageDigest: old.ImageDigest, ProcessType: old.ProcessType, Entry: old.Entry,
		Labels:  maps.Clone(old.Labels),
		Results: []Result{}, Warnings: []string{}, CreatedBy: by, Created: now, Updated: now,
	}
	if old.PreviewURL != "" {
		next.PreviewURL = o.previewURL(next)
	}
	return next
}

// follow stores a deployment that needs no build, and carries it out.
func (o *Orchestrator) follow(ctx context.Context, next Deployment, work func(context.Context, *deployment) error) (Deployment, error) {
	d := newDeployment(next)
	if err := newOrder(&d.order); err != nil {
		return Deployment{}, err
	}
	return o.enlist(ctx, d, func(ctx context.Context, d *deployment) {
		err := o.update(ctx, d, func(n *Deployment) { n.Status, n.Stage = Running, "starting" })
		if err == nil {
			err = work(ctx, d)
		}
		o.finish(ctx, d, err)
	})
}

// Logs reads what the deployment's revision wrote, while it is the current one.
func (o *Orchestrator) Logs(ctx context.Context, namespace, id string, q provider.LogQuery, fn func(provider.LogLine) error) error {
	d, err := o.find(namespace, id)
	if err != nil {
		return err
	}
	now := d.get()
	tenant, pod := tenantOf(now.Namespace), podName(now.App, now.Environment)
	if now.BuildID != "" && now.Revision == 0 && o.cfg.Builds != nil {
		return o.buildLog(ctx, now, q.Follow, fn)
	}
	if now.Failure != nil {
		for _, line := range now.Failure.Log {
			if err := fn(provider.LogLine{Time: now.Updated, Stream: "stdout", Text: []byte(line)}); err != nil {
				return err
			}
		}
		return nil
	}
	view, err := o.cfg.Pods.Status(ctx, tenant, pod)
	if err != nil {
		return err
	}
	if now.Revision != 0 && view.Revision != now.Revision {
		return status.New(status.NotFound, "deployment.no_logs", "revision %d runs no more, and its logs are gone", now.Revision)
	}
	return o.cfg.Logs.ReadLogs(ctx, tenant, pod, q, func(_ uint32, l provider.LogLine) error { return fn(l) })
}

// DeleteApp removes an app with its pods, and forgets its deployments. What is
// under way ends first.
func (o *Orchestrator) DeleteApp(ctx context.Context, namespace, id string) error {
	app, err := o.App(ctx, namespace, id)
	if err != nil {
		return err
	}
	all, err := o.leave(app)
	if err != nil {
		return err
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.leaving, id)
	}()
	environments := map[string]bool{production: true}
	for _, d := range all {
		environments[d.get().Environment] = true
	}
	for environment := range environments {
		err := o.cfg.Orders.Delete(ctx, tenantOf(app.Namespace), podName(app.Name, environment), false)
		if err != nil && status.CodeOf(err) != status.NotFound {
			return err
		}
	}
	for _, d := range all {
		if err := o.cfg.Deployments.Delete(ctx, d.id); err != nil {
			return err
		}
		o.mu.Lock()
		delete(o.deployments, d.id)
		delete(o.requests, d.request)
		o.mu.Unlock()
	}
	if err := o.cfg.Apps.Delete(ctx, id); err != nil {
		return err
	}
	o.mu.Lock()
	if last := o.apps[id]; last != nil {
		app = *last // a domain may have come meanwhile
	}
	delete(o.apps, id)
	o.mu.Unlock()
	o.refresh()
	for _, d := range app.Domains {
		o.cfg.Aliases.ReleaseHost(d.Domain, id)
	}
	return nil
}

// leave returns the deployments of an app, all of which have ended, and takes no more:
// one that came meanwhile would have a pod of no app.
func (o *Orchestrator) leave(app App) ([]*deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leaving[app.ID] {
		return nil, status.New(status.Conflict, "app.busy", "app %s is being removed", app.Name).WithRetryAfter(retryLater)
	}
	all := o.of(app.ID)
	for _, d := range all {
		if !d.get().Status.Ended() {
			return nil, status.New(status.Conflict, "app.busy", "deployment %s of app %s is under way", d.id, app.Name).WithHint("wait for it, or cancel it")
		}
	}
	o.leaving[app.ID] = true
	return all, nil
}

// deploymentOf reads which deployment made a revision.
func deploymentOf(source []byte) (origin, bool) {
	var from origin
	return from, json.Unmarshal(source, &from) == nil && from.Deployment != ""
}
