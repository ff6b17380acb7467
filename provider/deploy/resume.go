package deploy

import (
	"context"
	"errors"

	"apocryph/proto/status"
	"apocryph/provider"
)

// resume ends what an earlier process began: an order that was placed is
// followed, the rest is lost with what was uploaded.
func (o *Orchestrator) resume(ctx context.Context, d *deployment) {
	now := d.get()
	if now.App == "" {
		o.interrupted(ctx, d)
		return
	}
	pod := podName(now.App, now.Environment)
	history, err := o.cfg.Pods.History(ctx, tenantOf(now.Namespace), pod)
	if err != nil && status.CodeOf(err) != status.NotFound {
		o.finish(ctx, d, err)
		return
	}
	for _, v := range history {
		if from, ok := deploymentOf(v.Source); !ok || from.Deployment != d.id {
			continue
		}
		o.finish(ctx, d, o.takeOver(ctx, d, v))
		return
	}
	if now.Group == "" && d.pending != nil && o.cfg.Builds != nil && o.goOn(ctx, d) {
		return
	}
	o.finish(ctx, d, status.New(status.Unavailable, "deploy.interrupted", "the provider stopped before the deployment was placed").
		WithHint("deploy again"))
}

// takeOver reports what became of a revision.
func (o *Orchestrator) takeOver(ctx context.Context, d *deployment, v provider.RevisionView) error {
	now := d.get()
	tenant, pod := tenantOf(now.Namespace), podName(now.App, now.Environment)
	if v.Outcome == provider.OutcomeFailed {
		e := status.New(status.AppFailed, "pod.failed", "%s", v.Reason)
		e.Log = v.Log
		return e
	}
	d.mu.Lock()
	d.placed = true
	d.mu.Unlock()
	order, err := o.cfg.Pods.Ordered(ctx, tenant, pod, v.Revision)
	if err != nil {
		return err
	}
	order.RequestID = d.order
	// The same order again only follows what it made.
	got, err := o.cfg.Orders.Deploy(ctx, order, func(p provider.Progress) { o.progress(d, stageOf(p.Stage), p.Done, p.Total) })
	if err != nil && v.Outcome == provider.OutcomeUp && !errors.Is(err, context.Canceled) {
		return status.New(status.Conflict, "pod.superseded", "revision %d came up and was replaced since", v.Revision)
	}
	if err != nil {
		return err
	}
	return o.succeed(ctx, d, got, "update")
}
