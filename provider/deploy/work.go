package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

// retryLater is when somebody who found the queue full should come back.
const retryLater = 10 * time.Second

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

// image builds or fetches the plain image, and seals it.
func (o *Orchestrator) image(ctx context.Context, d *deployment, r Request, owner provider.InstanceID) (manifest.Image, []byte, error) {
	select {
	case o.building <- struct{}{}:
		defer func() { <-o.building }()
	case <-ctx.Done():
		return manifest.Image{}, nil, ctx.Err()
	}
	plain, done, err := o.plain(ctx, d, r)
	if err != nil {
		return manifest.Image{}, nil, err
	}
	defer done()
	o.progress(d, "sealing", 0, 0)
	img, key, err := o.cfg.Importer.Import(ctx, plain, owner, func(done, total int64) {
		o.progress(d, "sealing", uint64(done), uint64(total))
	})
	if err != nil {
		return manifest.Image{}, nil, fmt.Errorf("sealing the image: %w", err)
	}
	return img, key, nil
}

// plain is the plain image of a request, with what was found out on the way.
func (o *Orchestrator) plain(ctx context.Context, d *deployment, r Request) (*oci.Image, func(), error) {
	b, done, err := o.built(ctx, d, r)
	if err != nil {
		return nil, nil, err
	}
	err = o.update(ctx, d, func(n *Deployment) {
		n.Source.Digest, n.Entry = b.digest, Entry{Reason: b.evidence}
		n.Warnings = append(n.Warnings, b.warnings...)
	})
	if err != nil {
		done()
		return nil, nil, err
	}
	return b.image, done, nil
}

// made is a plain image, and what was found out on the way.
type made struct {
	image              *oci.Image
	digest             string
	evidence, warnings []string
}

// built brings or builds the image of a request. What it returns is to be called
// when the image is not needed any more.
func (o *Orchestrator) built(ctx context.Context, d *deployment, r Request) (made, func(), error) {
	var closers []func() error
	done := func() {
		for n := range closers {
			_ = closers[len(closers)-1-n]() // read files, and scratch that is swept
		}
	}
	if r.Image != "" {
		ref, err := oci.ParseReference(r.Image)
		if err != nil {
			return made{}, nil, err
		}
		img, err := o.cfg.Resolve(ctx, ref, o.cfg.Platform)
		return made{image: img}, done, err
	}
	out, req, err := o.input(ctx, d, r, &closers)
	if err != nil {
		done()
		return made{}, nil, err
	}
	b, err := o.cfg.Builder.Build(ctx, req)
	if err != nil {
		done()
		return made{}, nil, err
	}
	closers = append(closers, b.Close)
	out.image, out.evidence, out.warnings = b.Image, b.Evidence, b.Warnings
	return out, done, nil
}

// input is what the builder needs of a request.
func (o *Orchestrator) input(ctx context.Context, d *deployment, r Request, closers *[]func() error) (out made, req build.Request, err error) {
	c := r.Manifest.Containers[0]
	req = build.Request{Runtime: build.Runtime(r.Runtime), Entry: r.Entry, Args: c.Args, Platform: o.cfg.Platform}
	if len(c.Ports) > 0 {
		req.Port = c.Ports[0].TargetPort
	}
	tree := r.Tree
	if tree == nil {
		content, sum, err := o.cfg.Artifacts.Open(ctx, d.namespace, r.ArtifactID)
		if err != nil {
			return out, req, err
		}
		*closers = append(*closers, content.Close)
		out.digest = "sha256:" + sum
		if req.Runtime == build.Image {
			req.Archive, req.ArchiveSize = content, content.Size()
			return out, req, nil
		}
		if tree, err = o.unpack(ctx, content); err != nil {
			return out, req, err
		}
		*closers = append(*closers, tree.Close)
	} else if out.digest, err = tree.Digest(); err != nil {
		return out, req, err
	}
	if req.Runtime == build.Image {
		f, size, err := onlyFile(tree.FS())
		if err != nil {
			return out, req, err
		}
		*closers = append(*closers, f.Close)
		req.Archive, req.ArchiveSize = f, size
		return out, req, nil
	}
	req.FS = tree.FS()
	return out, req, nil
}

// place hands an order to the core and follows it. One pod is changed by one
// deployment at a time, in the order in which they come to it.
func (o *Orchestrator) place(ctx context.Context, d *deployment, order provider.Direct) error {
	now := d.get()
	key := podKey{tenantOf(now.Namespace), podName(now.App, now.Environment)}
	free, err := o.hold(ctx, key)
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

// hold waits until no other deployment changes a pod.
func (o *Orchestrator) hold(ctx context.Context, key podKey) (free func(), err error) {
	for {
		o.mu.Lock()
		busy := o.busy[key]
		if busy == nil {
			mine := make(chan struct{})
			o.busy[key] = mine
			o.mu.Unlock()
			return func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				delete(o.busy, key)
				close(mine)
			}, nil
		}
		o.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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
		n.URL, n.PreviewURL, n.ManifestDigest = url, o.previewURL(*n, got.Endpoints), got.ManifestDigest.String()
		n.Results = []Result{{Name: n.App, Operation: operation, Status: "success"}}
		if url != "" && n.PreviewURL != "" {
			n.Proof = url + ".well-known/apocryph/attestation"
		}
	})
	o.alias()
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
	return Failure{Code: public.Reason, Detail: public.Detail, Hint: public.Hint, Log: public.Log, Class: public.Code}
}

// resume ends what an earlier process began: an order that was placed is
// followed, the rest is lost with what was uploaded.
func (o *Orchestrator) resume(ctx context.Context, d *deployment) {
	now := d.get()
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
