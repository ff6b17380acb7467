package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/builds"
)

const (
	// stageAwaiting is that of a deployment that nobody has submitted a build for.
	stageAwaiting = "waiting for a build"
	// awaitTime is how long it may wait.
	awaitTime = time.Hour
	// tailLines of a build's log are told with its failure.
	tailLines = 20
)

// Builds builds from source. *[builds.Queue] is one.
type Builds interface {
	Submit(ctx context.Context, r builds.Request) (builds.Build, error)
	Build(ctx context.Context, namespace, id string) (builds.Build, error)
	Cancel(ctx context.Context, namespace, id string) (builds.Build, error)
	Watch(ctx context.Context, namespace, id string, after uint64, fn func(builds.Event) error) error
	Log(ctx context.Context, namespace, id string) ([]byte, uint64, error)
	// Failure is why a build has failed.
	Failure(ctx context.Context, namespace, id string) error
	ForDeployment(ctx context.Context, namespace, deployment string) (builds.Build, bool, error)
	// Image is the sealed image that a build made as an artifact.
	Image(ctx context.Context, namespace, artifact string) (builds.Image, bool, error)
}

func errNoBuilds() error {
	return status.New(status.Unimplemented, "deploy.no_builds", "this provider builds nothing from source").
		WithHint("upload a binary, static files or an image")
}

// pending is what is needed of a request after its build, also after a restart.
type pending struct {
	Manifest []byte            `json:"manifest"`
	Runtime  string            `json:"runtime,omitempty"`
	Entry    string            `json:"entry,omitempty"`
	Git      *builds.GitSource `json:"git,omitempty"`
	Await    bool              `json:"await,omitempty"`
	Expected uint64            `json:"expected,omitempty"`
	// Secrets are as safe here as in the pod's order: documents are sealed.
	Secrets map[string]map[string][]byte `json:"secrets,omitempty"`
}

func pendingOf(r Request) (*pending, error) {
	raw, err := json.Marshal(r.Manifest)
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	return &pending{Manifest: raw, Runtime: r.Runtime, Entry: r.Entry, Git: r.Git, Await: r.AwaitBuild, Expected: r.Expected, Secrets: r.Secrets}, nil
}

// awaits reports whether a deployment waits for a build of somebody.
func (d *deployment) awaits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting()
}

// waiting is awaits for who holds d.mu.
func (d *deployment) waiting() bool {
	return d.pending != nil && d.pending.Await && d.now.BuildID == "" && !d.now.Status.Ended() && !d.cancelled
}

// Attach gives a deployment that waits for a build the one that submit makes.
func (o *Orchestrator) Attach(ctx context.Context, namespace, id string, submit func(context.Context) (builds.Build, error)) (builds.Build, error) {
	d, err := o.find(namespace, id)
	if err != nil {
		return builds.Build{}, err
	}
	// What waits may have been allowed before its namespace took a repository alone.
	if err := o.allowed(Request{Namespace: d.namespace}); err != nil {
		return builds.Build{}, err
	}
	d.mu.Lock()
	if !d.waiting() || d.attaching {
		defer d.mu.Unlock()
		return builds.Build{}, status.New(status.Conflict, "deployment.not_waiting", "deployment %s does not wait for a build", id).
			WithHint("POST /api/v1/apps/{id}/deployments without artifact_id and image makes one that does")
	}
	d.attaching = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.attaching = false
	}()
	b, err := submit(ctx)
	if err != nil {
		return b, err
	}
	return b, o.update(context.WithoutCancel(ctx), d, func(n *Deployment) { n.BuildID = b.ID })
}

// await waits until a deployment has a build.
func (o *Orchestrator) await(ctx context.Context, d *deployment) error {
	limit := time.NewTimer(d.created.Add(awaitTime).Sub(o.cfg.Now()))
	defer limit.Stop()
	for {
		d.mu.Lock()
		id, changed := d.now.BuildID, d.changed
		d.mu.Unlock()
		if id != "" {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return status.New(status.DeadlineExceeded, "deploy.no_build", "no build was submitted within %s", awaitTime).
				WithHint("POST /api/v1/builds with the deployment_id %s", d.id)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// buildImage submits the build of a request, unless there is one, and waits for its
// image.
func (o *Orchestrator) buildImage(ctx context.Context, d *deployment, r Request) (manifest.Image, []byte, error) {
	own := d.get().BuildID == ""
	if own {
		req := builds.Request{
			Namespace: d.namespace, By: d.get().CreatedBy, AppID: d.appID, DeploymentID: d.id, Tree: r.Tree, Git: r.Git,
			Runtime: r.Runtime, Entry: r.Entry, ClaimedCommit: r.ClaimedCommit, RequestID: d.order,
		}
		if c := r.Manifest.Containers[0]; len(c.Ports) > 0 {
			req.Port = c.Ports[0].TargetPort
		}
		b, err := o.cfg.Builds.Submit(ctx, req)
		if err != nil {
			return manifest.Image{}, nil, err
		}
		if err := o.update(ctx, d, func(n *Deployment) { n.BuildID = b.ID }); err != nil {
			return manifest.Image{}, nil, err
		}
	}
	b, err := o.followBuild(ctx, d)
	if err != nil {
		d.mu.Lock()
		cancelled := d.cancelled
		d.mu.Unlock()
		if own && cancelled {
			// It is for nobody any more; one that has ended just now is a conflict.
			_, _ = o.cfg.Builds.Cancel(context.WithoutCancel(ctx), d.namespace, d.get().BuildID)
		}
		return manifest.Image{}, nil, err
	}
	if b.Status != builds.Succeeded {
		o.describe(ctx, d, b)
		err := o.cfg.Builds.Failure(ctx, d.namespace, b.ID)
		return manifest.Image{}, nil, o.withTail(ctx, d, b.ID, err)
	}
	img, ok, err := o.madeImage(ctx, d, b.ArtifactID)
	if err == nil && !ok {
		err = status.New(status.NotFound, "artifact.unknown", "what build %s made was deleted", b.ID)
	}
	return img.Image, img.Key, err
}

// followBuild takes over the build's log as events, and returns it when it has ended.
func (o *Orchestrator) followBuild(ctx context.Context, d *deployment) (builds.Build, error) {
	id := d.get().BuildID
	err := o.cfg.Builds.Watch(ctx, d.namespace, id, 0, func(e builds.Event) error {
		switch {
		case e.Kind == "log":
			d.mu.Lock()
			defer d.mu.Unlock()
			d.tell(Event{Kind: "log", At: e.At, Text: e.Text})
		case e.Build != nil:
			d.mu.Lock()
			defer d.mu.Unlock()
			d.tell(Event{Kind: "progress", At: e.At, Text: "building: " + e.Build.Stage, Done: uint64(e.Build.Progress), Total: 100})
		}
		return nil
	})
	if err != nil {
		return builds.Build{}, err
	}
	return o.cfg.Builds.Build(ctx, d.namespace, id)
}

// madeImage is the image of an artifact that a build made, and says so in the
// deployment.
func (o *Orchestrator) madeImage(ctx context.Context, d *deployment, artifact string) (builds.Image, bool, error) {
	img, ok, err := o.cfg.Builds.Image(ctx, d.namespace, artifact)
	if err != nil || !ok {
		return img, ok, err
	}
	b, err := o.cfg.Builds.Build(ctx, d.namespace, img.Build)
	if err != nil {
		return img, true, err
	}
	return img, true, o.describe(ctx, d, b)
}

// describe takes over what a build says of its source. Only that is ever "git".
func (o *Orchestrator) describe(ctx context.Context, d *deployment, b builds.Build) error {
	return o.update(ctx, d, func(n *Deployment) {
		claimed := n.Source.ClaimedCommit
		n.Source = Source{
			Type: b.Source.Type, Digest: b.Source.Digest, ClaimedCommit: claimed, Repository: b.Source.Repository, Ref: b.Source.Ref, Branch: b.Source.Branch,
			Path: b.Source.Path, Commit: b.Source.Commit, Tree: b.Source.Tree, AuthorName: b.Source.AuthorName, AuthorEmail: b.Source.AuthorEmail,
			Signer: b.Source.Signer, Method: b.Source.Method,
		}
		if claimed == "" {
			n.Source.ClaimedCommit = b.Source.ClaimedCommit
		}
		n.BuildID, n.ArtifactID = b.ID, b.ArtifactID
		n.Entry = Entry{Argv: b.Argv, Reason: b.Evidence}
		n.Warnings = append(n.Warnings[:len(n.Warnings):len(n.Warnings)], b.Warnings...)
	})
}

// withTail adds the last lines of a build's log to why it failed.
func (o *Orchestrator) withTail(ctx context.Context, d *deployment, id string, err error) error {
	public := *status.Public(err)
	text, _, logErr := o.cfg.Builds.Log(ctx, d.namespace, id)
	if logErr != nil || len(text) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(strings.ToValidUTF8(string(text), "\uFFFD"), "\n"), "\n")
	public.Log = lines[max(0, len(lines)-tailLines):]
	return &public
}

// goOn takes up a deployment that waited for its build when the last process ended,
// and reports whether it could.
func (o *Orchestrator) goOn(ctx context.Context, d *deployment) bool {
	p := d.pending
	now := d.get()
	if now.BuildID == "" {
		b, ok, err := o.cfg.Builds.ForDeployment(ctx, now.Namespace, d.id)
		if err == nil && ok {
			err = o.update(ctx, d, func(n *Deployment) { n.BuildID = b.ID })
		}
		if err != nil {
			o.finish(ctx, d, err)
			return true
		}
		if !ok && !p.Await && p.Git == nil {
			return false // what was uploaded is gone
		}
	}
	m := &manifest.Manifest{}
	if err := json.Unmarshal(p.Manifest, m); err != nil || len(m.Containers) != 1 {
		return false
	}
	r := Request{
		Namespace: now.Namespace, App: now.App, Environment: now.Environment, By: now.CreatedBy, Runtime: p.Runtime, Entry: p.Entry, Manifest: m,
		Git: p.Git, AwaitBuild: p.Await, Expected: p.Expected, Secrets: p.Secrets, ClaimedCommit: now.Source.ClaimedCommit,
	}
	if !r.built() {
		// Its files are the build's.
		r.AwaitBuild = true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	d.cancel = cancel
	d.mu.Unlock()
	o.run(ctx, d, r)
	return true
}

// buildLog reads the log of a deployment's build.
func (o *Orchestrator) buildLog(ctx context.Context, d Deployment, follow bool, fn func(provider.LogLine) error) error {
	text, seq, err := o.cfg.Builds.Log(ctx, d.Namespace, d.BuildID)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if err := fn(provider.LogLine{Time: d.Updated, Stream: "build", Text: []byte(strings.TrimSuffix(line, "\n"))}); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return o.cfg.Builds.Watch(ctx, d.Namespace, d.BuildID, seq, func(e builds.Event) error {
		if e.Kind != "log" {
			return nil
		}
		return fn(provider.LogLine{Time: e.At, Stream: "build", Text: []byte(e.Text)})
	})
}
