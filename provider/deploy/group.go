package deploy

import (
	"context"

	"apocryph/proto/status"
	"apocryph/provider/keyed"
)

// Synced marks a deployment that is one app of a change that a repository asked for.
type Synced struct {
	// Group is the id of the whole change.
	Group string
	// Source is what is known of the commit.
	Source Source
	// Gate is asked when the image is made, before anything that runs is touched; an
	// error ends the deployment.
	Gate func(context.Context) error
}

// Group is a deployment of several apps as one change. Its results have an entry
// for each, and its parts are deployments of their own.
type Group struct {
	o *Orchestrator
	d *deployment
}

// ID is the deployment's.
func (g *Group) ID() string { return g.d.id }

// Update stores a change and tells of it.
func (g *Group) Update(ctx context.Context, change func(*Deployment)) error {
	return g.o.update(ctx, g.d, change)
}

// Say tells those who watch a line.
func (g *Group) Say(text string) {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if !g.d.now.Status.Ended() {
		g.d.tell(Event{Kind: "log", At: g.o.cfg.Now(), Text: text})
	}
}

// Group stores a deployment of several apps and starts work on it, which sets the
// results; the deployment has no app of its own. It succeeds when work returns nil.
func (o *Orchestrator) Group(ctx context.Context, next Deployment, work func(context.Context, *Group) error) (Deployment, error) {
	now := o.cfg.Now()
	next.ID, next.Status, next.Created, next.Updated = newID(), Pending, now, now
	next.Results, next.Warnings = append([]Result{}, next.Results...), append([]string{}, next.Warnings...)
	return o.enlist(ctx, newDeployment(next), func(ctx context.Context, d *deployment) {
		err := o.update(ctx, d, func(n *Deployment) { n.Status, n.Stage = Running, "applying" })
		if err == nil {
			err = work(ctx, &Group{o, d})
		}
		o.conclude(ctx, d, err)
	})
}

// conclude stores how a group ended.
func (o *Orchestrator) conclude(ctx context.Context, d *deployment, err error) {
	d.mu.Lock()
	cancelled := d.cancelled
	d.mu.Unlock()
	if ctx.Err() != nil && !cancelled {
		return // The next process says that it was interrupted.
	}
	end := func(n *Deployment) {
		n.Stage = ""
		switch {
		case err == nil:
			n.Status = Succeeded
		case cancelled:
			n.Status = Cancelled
		default:
			f := failureOf(err)
			n.Status, n.Failure = Failed, &f
		}
		for i := range n.Results {
			if r := &n.Results[i]; r.Status == "pending" {
				// Nothing of this change comes after its end.
				r.Status, r.Message = "skipped", "the change ended before this was known to be done"
			}
		}
	}
	if err := o.update(context.WithoutCancel(ctx), d, end); err != nil {
		o.log.Error("the end of a deployment is not stored", "deployment", d.id, "err", err)
	}
}

// interrupted ends a group of an earlier process. Its parts go on as deployments do;
// what was not placed is placed by the next sync.
func (o *Orchestrator) interrupted(ctx context.Context, d *deployment) {
	o.conclude(ctx, d, status.New(status.Unavailable, "deploy.interrupted", "the provider stopped before all apps were deployed").
		WithHint("sync again: what is done already is left alone"))
}

// DeleteEnvironment removes the pod of one environment of an app, and the app itself
// with its last one. Deployments that are under way are a conflict "app.busy".
func (o *Orchestrator) DeleteEnvironment(ctx context.Context, namespace, appID, environment string) error {
	app, err := o.App(ctx, namespace, appID)
	if err != nil {
		return err
	}
	others, busy := map[string]bool{}, ""
	o.mu.Lock()
	all := o.of(appID)
	o.mu.Unlock()
	for _, d := range all {
		now := d.get()
		if now.Environment != environment {
			others[now.Environment] = true
		} else if !now.Status.Ended() {
			busy = d.id
		}
	}
	for other := range others {
		if _, err := o.cfg.Pods.Status(ctx, tenantOf(app.Namespace), podName(app.Name, other)); status.CodeOf(err) == status.NotFound {
			delete(others, other)
		}
	}
	switch {
	case busy != "":
		return status.New(status.Conflict, "app.busy", "deployment %s of app %s is under way", busy, app.Name).WithHint("wait for it, or cancel it")
	case len(others) == 0:
		return o.DeleteApp(ctx, namespace, appID)
	}
	err = o.cfg.Orders.Delete(ctx, tenantOf(app.Namespace), podName(app.Name, environment), false)
	if status.CodeOf(err) == status.NotFound {
		err = nil
	}
	return err
}

// turns are the pods that a deployment is changing.
type turns struct{ keyed.Locks }

func (t *turns) take(ctx context.Context, key podKey) (func(), error) {
	return t.Lock(ctx, string(key.tenant)+"/"+key.name)
}
