package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// retryLater is when somebody who found the queue full should come back.
const retryLater = 10 * time.Second

// maxFaults bounds what is kept of a deployment that was wrong everywhere.
const maxFaults = 16

// origin is what the pod's history keeps of a deployment.
type origin struct {
	Deployment string `json:"deployment"`
	Source     Source `json:"source"`
}

// run carries out one deployment.
func (o *Orchestrator) run(ctx context.Context, d *deployment, r Request) {
	order, err := o.prepare(ctx, d, r)
	if r.Tree != nil {
		_ = r.Tree.Close() // what it leaves is swept
	}
	if err == nil && r.Synced != nil {
		err = r.Synced.Gate(ctx)
	}
	if err == nil {
		err = o.place(ctx, d, order)
	}
	o.finish(ctx, d, err)
}

// importer is who keeps the image of a deployment until its pod does.
func importer(d *deployment) provider.InstanceID { return provider.InstanceID("import-" + d.id) }

// release gives up what an import kept. By then the pod's revision has it, or it
// is not wanted.
func (o *Orchestrator) release(ctx context.Context, d *deployment) {
	if err := o.cfg.Keeper.Release(context.WithoutCancel(ctx), importer(d)); err != nil {
		o.log.Warn("releasing an import", "deployment", d.id, "err", err)
	}
}

// prepare makes the image of a request, and the order.
func (o *Orchestrator) prepare(ctx context.Context, d *deployment, r Request) (provider.Direct, error) {
	if r.AwaitBuild {
		if err := o.await(ctx, d); err != nil {
			return provider.Direct{}, err
		}
	}
	if err := o.update(ctx, d, func(n *Deployment) { n.Status, n.Stage = Running, "building" }); err != nil {
		return provider.Direct{}, err
	}
	img, key, err := o.image(ctx, d, r, importer(d))
	if err != nil {
		return provider.Direct{}, err
	}
	app, err := o.App(ctx, everywhere, d.appID)
	if err != nil {
		return provider.Direct{}, err
	}
	if app, err = o.sober(ctx, d, r, app); err != nil {
		return provider.Direct{}, err
	}
	m := *r.Manifest
	m.Containers = []manifest.Container{r.Manifest.Containers[0]}
	m.Name, m.Containers[0].Image = podName(app.Name, r.Environment), img
	environmentOf(app, &m)
	raw, err := manifest.Marshal(&m)
	if err != nil {
		return provider.Direct{}, err
	}
	digest := manifest.DigestOf(raw)
	err = o.update(ctx, d, func(n *Deployment) {
		n.Stage, n.ImageDigest, n.ManifestDigest = "starting", img.ImageID, digest.String()
	})
	return provider.Direct{
		Tenant: tenantOf(d.namespace), Manifest: raw, Keys: map[string][]byte{img.KeyID: key}, Secrets: r.Secrets, Expected: r.Expected,
	}, err
}

// sober is an app without its variables where those are not to count: who may deploy may
// set them, and with one such as LD_PRELOAD or NODE_OPTIONS decides what is run, which in a
// namespace that takes nothing but its repository is the repository's.
func (o *Orchestrator) sober(ctx context.Context, d *deployment, r Request, app App) (App, error) {
	if len(app.Env) == 0 || r.Synced == nil || o.cfg.Refuse == nil || o.cfg.Refuse(d.namespace) == nil {
		return app, nil
	}
	names := slices.Sorted(maps.Keys(app.Env))
	app.Env = nil
	return app, o.update(ctx, d, func(n *Deployment) {
		n.Warnings = append(n.Warnings[:len(n.Warnings):len(n.Warnings)],
			fmt.Sprintf("the app's variables are left out, for they are not in the repository: %.200s", strings.Join(names, ", ")))
	})
}

// place hands an order to the core and follows it. One pod is changed by one
// deployment at a time, in the order in which they come to it.
func (o *Orchestrator) place(ctx context.Context, d *deployment, order provider.Direct) error {
	now := d.get()
	key := podKey{tenantOf(now.Namespace), podName(now.App, now.Environment)}
	free, err := o.turns.take(ctx, key)
	if err != nil {
		return err
	}
	defer free()
	order.RequestID = d.order
	if order.Source, err = json.Marshal(origin{d.id, now.Source}); err != nil {
		return err
	}
	before, err := o.cfg.Pods.Status(ctx, key.tenant, key.name)
	operation := "update"
	if status.CodeOf(err) == status.NotFound || err == nil && before.State == provider.StateFailed {
		operation = "create"
	} else if err != nil {
		return err
	}
	d.mu.Lock()
	if d.cancelled {
		d.mu.Unlock()
		return context.Canceled
	}
	d.placed = true
	d.mu.Unlock()
	got, err := o.cfg.Orders.Deploy(ctx, order, func(p provider.Progress) { o.progress(d, stageOf(p.Stage), p.Done, p.Total) })
	o.release(ctx, d)
	if err != nil {
		return err
	}
	return o.succeed(ctx, d, got, operation)
}

func stageOf(s provider.Stage) string {
	return map[provider.Stage]string{
		provider.StageAccepted: "accepted", provider.StageFetching: "fetching", provider.StageUnpacking: "unpacking",
		provider.StageStarting: "starting", provider.StageHealthy: "healthy",
	}[s]
}

// succeed stores that a revision serves.
func (o *Orchestrator) succeed(ctx context.Context, d *deployment, got provider.Provisioned, operation string) error {
	url := ""
	for _, e := range got.Endpoints {
		if url == "" || e.Protocol == manifest.HTTP {
			url = e.URL
		}
		if e.Protocol == manifest.HTTP {
			break
		}
	}
	err := o.update(context.WithoutCancel(ctx), d, func(n *Deployment) {
		n.Status, n.Stage, n.Revision, n.PodID = Succeeded, "healthy", got.Revision, string(got.PodID)
		n.URL, n.ManifestDigest = url, got.ManifestDigest.String()
		n.Results = []Result{{Name: n.App, Operation: operation, Status: "success"}}
		if url != "" && n.PreviewURL != "" {
			n.Proof = url + ".well-known/apocryph/attestation"
		}
	})
	return err
}

// finish stores how a deployment ended, where it did not succeed.
func (o *Orchestrator) finish(ctx context.Context, d *deployment, err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	cancelled, placed := d.cancelled, d.placed
	d.mu.Unlock()
	if ctx.Err() != nil && !cancelled {
		// This process is stopping: what was placed goes on, and the next one says so.
		o.log.Info("a deployment goes on at the next start", "deployment", d.id, "placed", placed)
		return
	}
	o.release(ctx, d)
	end := func(n *Deployment) {
		if cancelled && !placed {
			n.Status, n.Stage = Cancelled, ""
			n.Results = []Result{{Name: n.App, Operation: "noop", Status: "skipped", Message: "cancelled"}}
			return
		}
		f := failureOf(err)
		n.Status, n.Failure = Failed, &f
		n.Results = []Result{{Name: n.App, Operation: "noop", Status: "failed", Message: f.Detail}}
	}
	if err := o.update(context.WithoutCancel(ctx), d, end); err != nil {
		o.log.Error("the end of a deployment is not stored", "deployment", d.id, "err", err)
	}
}

func failureOf(err error) Failure {
	public := status.Public(err)
	f := Failure{Code: public.Reason, Detail: public.Detail, Hint: public.Hint, Log: public.Log, Class: public.Code}
	for _, fault := range public.Faults[:min(len(public.Faults), maxFaults)] {
		f.Faults = append(f.Faults, Fault{Field: fault.Field, Got: fault.Got, Want: fault.Want})
	}
	return f
}
