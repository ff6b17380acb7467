package deploy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// check refuses a request before anything of it is stored. Nothing is taken over.
func (r Request) check() error {
	var faults []status.Fault
	given := 0
	for _, has := range []bool{r.Tree != nil, r.ArtifactID != "", r.Image != "", r.Git != nil, r.AwaitBuild} {
		if has {
			given++
		}
	}
	if given != 1 {
		faults = append(faults, status.Fault{Field: "/files", Got: "files, artifact and image: not exactly one", Want: "one of them"})
	}
	if !label.MatchString(r.Environment) || strings.Contains(r.Environment, "--") {
		faults = append(faults, status.Fault{Field: "/environment", Got: r.Environment, Want: "a DNS label such as production"})
	}
	if !r.runs() {
		faults = append(faults, status.Fault{Field: "/runtime", Got: r.Runtime, Want: "binary, image, static, " + strings.Join(Built(), ", ") + "; or none, with a source"})
	}
	if r.Image != "" {
		ref, err := oci.ParseReference(r.Image)
		if err != nil || ref.Transport != oci.Registry {
			faults = append(faults, status.Fault{Field: "/image", Got: r.Image, Want: "a reference to a registry"})
		}
	}
	if len(podName(r.App, r.Environment)) > 63 {
		faults = append(faults, status.Fault{Field: "/environment", Got: r.Environment, Want: "an app and environment of at most 61 letters together"})
	}
	if r.Manifest == nil || len(r.Manifest.Containers) != 1 {
		return status.New(status.Internal, "deploy.manifest", "a deployment of not exactly one container")
	}
	if len(faults) > 0 {
		return status.Invalid("deploy.invalid", "the deployment", faults)
	}
	return nil
}

// Submit stores a deployment and starts it.
func (o *Orchestrator) Submit(ctx context.Context, r Request) (Deployment, error) {
	d, err := o.submit(ctx, r, func(ctx context.Context, d *deployment) { o.run(ctx, d, r) })
	if err != nil && r.Tree != nil {
		_ = r.Tree.Close() // the first error is the one that matters
	}
	if errors.Is(err, errRepeated) {
		err = nil
	}
	return d, err
}

// submit stores what r asks for and starts work on it.
func (o *Orchestrator) submit(ctx context.Context, r Request, work func(context.Context, *deployment)) (Deployment, error) {
	if err := r.check(); err != nil {
		return Deployment{}, err
	}
	if r.built() && o.cfg.Builds == nil {
		return Deployment{}, errNoBuilds()
	}
	if err := o.allowed(r); err != nil {
		return Deployment{}, err
	}
	if err := o.uploaded(ctx, r); err != nil {
		return Deployment{}, err
	}
	app, err := o.appOf(ctx, r)
	if err != nil {
		return Deployment{}, err
	}
	now := o.cfg.Now()
	d := newDeployment(Deployment{
		ID: newID(), Namespace: app.Namespace, App: app.Name, AppID: app.ID, Environment: r.Environment,
		Status: Pending, ArtifactID: r.ArtifactID, ProcessType: r.Runtime, CreatedBy: r.By, Created: now, Updated: now,
		Labels: maps.Clone(r.Labels), Source: Source{Type: "upload", ClaimedCommit: r.ClaimedCommit}, Results: []Result{}, Warnings: append([]string{}, r.Warnings...),
	})
	switch {
	case r.ArtifactID != "":
		d.now.Source.Type = "artifact"
	case r.Image != "":
		d.now.Source.Type, d.now.Source.Image, d.now.ProcessType = "image", r.Image, "docker"
	}
	if r.built() {
		var err error
		if d.pending, err = pendingOf(r); err != nil {
			return Deployment{}, err
		}
	}
	if r.Git != nil {
		d.now.Source.Type = "git"
	}
	if s := r.Synced; s != nil {
		d.now.Group, d.now.Source = s.Group, s.Source
		d.now.Source.Image = r.Image
	}
	if r.AwaitBuild {
		d.now.Source.Type, d.now.Stage = "build", stageAwaiting
	}
	if serves(r.Manifest) {
		d.now.PreviewURL = o.previewURL(d.now)
	}
	d.request = r.RequestID
	if err := newOrder(&d.order); err != nil {
		return Deployment{}, err
	}
	return o.enlist(ctx, d, work)
}

// uploaded refuses an artifact that is not there, or not whole, at once: who does
// not wait for the deployment would find out too late.
func (o *Orchestrator) uploaded(ctx context.Context, r Request) error {
	o.mu.Lock()
	_, repeated := o.requests[r.RequestID]
	o.mu.Unlock()
	if r.ArtifactID == "" || repeated {
		return nil // what was taken already may be gone since
	}
	if o.cfg.Builds != nil {
		if _, made, err := o.cfg.Builds.Image(ctx, r.Namespace, r.ArtifactID); made || err != nil {
			return err
		}
	}
	content, _, err := o.cfg.Artifacts.Open(ctx, r.Namespace, r.ArtifactID)
	if err != nil {
		return err
	}
	return content.Close()
}

// enlist stores a deployment and starts work on it.
func (o *Orchestrator) enlist(ctx context.Context, d *deployment, work func(context.Context, *deployment)) (Deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.work == nil {
		return Deployment{}, errStopping()
	}
	if id, ok := o.requests[d.request]; ok && d.request != [16]byte{} {
		return o.deployments[id].get(), errRepeated
	}
	if d.now.AppID != "" && o.apps[d.now.AppID] == nil {
		return Deployment{}, status.New(status.NotFound, "app.unknown", "there is no app %.80q any more", d.now.App)
	}
	if o.leaving[d.appID] {
		return Deployment{}, status.New(status.Conflict, "app.busy", "app %s is being removed", d.now.App).WithRetryAfter(retryLater)
	}
	if err := o.room(d); err != nil {
		return Deployment{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Held meanwhile, so that a request id makes one deployment.
	if err := o.keep(ctx, d, d.now, d.seq); err != nil {
		return Deployment{}, err
	}
	o.deployments[d.id] = d
	if d.request != [16]byte{} {
		o.requests[d.request] = d.id
	}
	o.work(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		d.mu.Lock()
		d.cancel = cancel
		gone := d.cancelled
		d.mu.Unlock()
		if gone {
			cancel()
		}
		work(ctx, d)
		o.trim(context.WithoutCancel(ctx), d.appID)
	})
	return d.now, nil
}

// room refuses a deployment where too many have not ended. Those that wait for a build
// are counted by themselves, as they take nothing but their place. The caller holds o.mu.
func (o *Orchestrator) room(d *deployment) error {
	if d.now.Group != "" {
		return nil // its group has come in
	}
	all, own, awaits := 0, 0, d.awaits()
	for _, have := range o.deployments {
		if now := have.get(); now.Status.Ended() || now.Group != "" || have.awaits() != awaits {
			continue
		}
		all++
		if have.namespace == d.namespace {
			own++
		}
	}
	if own >= maxWaitingPerNamespace {
		return status.New(status.ResourceExhausted, "deploy.queue", "%d deployments of namespace %s are under way, the most at once", own, d.namespace).WithRetryAfter(retryLater)
	}
	if all >= maxWaiting {
		return status.New(status.ResourceExhausted, "deploy.queue", "%d deployments are under way, the most at once", all).WithRetryAfter(retryLater)
	}
	return nil
}

// errRepeated says that a request id has made a deployment already.
var errRepeated = errors.New("the request was made before")

// appOf finds the app of a request, and makes it where there is none.
func (o *Orchestrator) appOf(ctx context.Context, r Request) (App, error) {
	for {
		app, err := o.AppByName(ctx, r.Namespace, r.App)
		if status.CodeOf(err) != status.NotFound {
			return app, err
		}
		app, err = o.CreateApp(ctx, App{Namespace: r.Namespace, Name: r.App})
		if status.ReasonOf(err) != "app.exists" {
			return app, err
		}
		// Another request was faster, or the subdomain is another app's.
		if _, again := o.AppByName(ctx, r.Namespace, r.App); again != nil {
			return App{}, err
		}
	}
}

// environmentOf puts the app's variables under the deployment's own.
func environmentOf(app App, m *manifest.Manifest) {
	c := &m.Containers[0]
	for name, value := range app.Env {
		if !slices.ContainsFunc(c.Env, func(e manifest.EnvVar) bool { return e.Name == name }) {
			c.Env = append(c.Env, manifest.EnvVar{Name: name, Value: value})
		}
	}
	slices.SortFunc(c.Env, func(a, b manifest.EnvVar) int { return strings.Compare(a.Name, b.Name) })
}
