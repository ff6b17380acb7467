package httpapi_test

import (
	"cmp"
	"context"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// orchestrator is deploy.Apps and deploy.Deployments in memory. A deployment
// ends as end says: at once, or when its gate is opened.
type orchestrator struct {
	mu      sync.Mutex
	apps    []deploy.App
	all     []*tracked
	submits []deploy.Request
	// files is what the last tree had.
	files []string
	// refuse is Submit's error.
	refuse error
	// gate holds deployments back until it is closed; nil for none.
	gate chan struct{}
	// failure ends deployments so; nil is success.
	failure *deploy.Failure
	lines   []provider.LogLine
	query   provider.LogQuery
	// hold keeps Submit itself.
	hold chan struct{}
	// stages are what a deployment goes through.
	stages []string
}

type tracked struct {
	d deploy.Deployment
	// request is the request's id.
	request [16]byte
	events  []deploy.Event
	// changed is closed and replaced with each event.
	changed chan struct{}
}

func (o *orchestrator) Attach(ctx context.Context, ns, id string, submit func(context.Context) (builds.Build, error)) (builds.Build, error) {
	d, err := o.Deployment(ctx, ns, id)
	if err == nil && d.Stage != "waiting for a build" {
		err = status.New(status.Conflict, "deployment.not_waiting", "it does not wait")
	}
	if err != nil {
		return builds.Build{}, err
	}
	return submit(ctx)
}

func (o *orchestrator) Origin(ctx context.Context, ns, id string) (deploy.AppSource, error) {
	a, err := o.App(ctx, ns, id)
	if err == nil && a.Source == nil {
		err = status.New(status.InvalidArgument, "app.no_source", "app %s has no source", a.Name)
	}
	if err != nil {
		return deploy.AppSource{}, err
	}
	return *a.Source, nil
}

func newOrchestrator() *orchestrator { return &orchestrator{} }

func in(namespace, of string) bool { return namespace == "*" || namespace == of }

func (o *orchestrator) CreateApp(_ context.Context, a deploy.App) (deploy.App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.apps {
		if b.Namespace == a.Namespace && b.Name == a.Name {
			return deploy.App{}, status.New(status.Conflict, "app.exists", "there is an app %q", a.Name)
		}
	}
	a.ID, a.Subdomain, a.Version = uuid.NewString(), a.Name+"-"+a.Namespace, 1
	a.Environments, a.Created, a.Updated = []string{"production", "development"}, epoch, epoch
	o.apps = append(o.apps, a)
	return a, nil
}

func (o *orchestrator) findApp(namespace string, is func(deploy.App) bool) (*deploy.App, error) {
	for i, a := range o.apps {
		if in(namespace, a.Namespace) && is(a) {
			return &o.apps[i], nil
		}
	}
	return nil, status.New(status.NotFound, "app.unknown", "there is no such app")
}

func (o *orchestrator) App(_ context.Context, namespace, id string) (deploy.App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, err := o.findApp(namespace, func(a deploy.App) bool { return a.ID == id })
	if err != nil {
		return deploy.App{}, err
	}
	return *a, nil
}

func (o *orchestrator) AppByName(_ context.Context, namespace, name string) (deploy.App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, err := o.findApp(namespace, func(a deploy.App) bool { return a.Name == name })
	if err != nil {
		return deploy.App{}, err
	}
	return *a, nil
}

func (o *orchestrator) ListApps(_ context.Context, namespace string, p deploy.Page) ([]deploy.App, int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []deploy.App
	for _, a := range o.apps {
		if in(namespace, a.Namespace) && (p.Labels["team"] == "" || p.Labels["team"] == a.Labels["team"]) {
			out = append(out, a)
		}
	}
	if p.SortBy == "name" {
		slices.SortFunc(out, func(a, b deploy.App) int { return cmp.Compare(a.Name, b.Name) })
	}
	if p.Descending {
		slices.Reverse(out)
	}
	total := len(out)
	if p.Size > 0 {
		from := min((p.Number-1)*p.Size, total)
		out = out[from:min(from+p.Size, total)]
	}
	return out, total, nil
}

func (o *orchestrator) UpdateApp(_ context.Context, namespace, id string, version uint64, change func(*deploy.App) error) (deploy.App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, err := o.findApp(namespace, func(a deploy.App) bool { return a.ID == id })
	if err != nil {
		return deploy.App{}, err
	}
	if version != 0 && version != a.Version {
		return deploy.App{}, status.New(status.Conflict, "app.version", "it is version %d", a.Version)
	}
	if err := change(a); err != nil {
		return deploy.App{}, err
	}
	a.Version++
	return *a, nil
}

func (o *orchestrator) DeleteApp(_ context.Context, namespace, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.findApp(namespace, func(a deploy.App) bool { return a.ID == id }); err != nil {
		return err
	}
	o.apps = slices.DeleteFunc(o.apps, func(a deploy.App) bool { return a.ID == id })
	return nil
}

func (o *orchestrator) Submit(_ context.Context, r deploy.Request) (deploy.Deployment, error) {
	if o.hold != nil {
		<-o.hold
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.submits = append(o.submits, r)
	if o.refuse != nil {
		return deploy.Deployment{}, o.refuse
	}
	for _, t := range o.all {
		if t.request == r.RequestID {
			return t.d, nil
		}
	}
	d := deploy.Deployment{
		ID: uuid.NewString(), Namespace: r.Namespace, App: r.App, AppID: uuid.NewString(), Environment: r.Environment, Status: deploy.Pending,
		ArtifactID: r.ArtifactID, Labels: r.Labels, CreatedBy: r.By, Created: epoch, Updated: epoch, Source: deploy.Source{Type: "upload"},
		PreviewURL: "http://" + r.App + "-rev1.example/",
	}
	if r.Tree != nil {
		o.files = nil
		_ = fs.WalkDir(r.Tree.FS(), ".", func(p string, e fs.DirEntry, _ error) error {
			if !e.IsDir() {
				o.files = append(o.files, p)
			}
			return nil
		})
		_ = r.Tree.Close()
	}
	return o.start(d, r.RequestID), nil
}

// start begins a deployment; mu is held.
func (o *orchestrator) start(d deploy.Deployment, request [16]byte) deploy.Deployment {
	t := &tracked{d: d, request: request, changed: make(chan struct{})}
	o.all = append(o.all, t)
	t.emit("status")
	for _, stage := range o.stages {
		t.d.Stage = stage
		t.emit("status")
	}
	if o.gate == nil {
		o.finish(t)
		return d
	}
	go func(gate chan struct{}) {
		<-gate
		o.mu.Lock()
		defer o.mu.Unlock()
		if !t.d.Status.Ended() {
			o.finish(t)
		}
	}(o.gate)
	return d
}

func (o *orchestrator) finish(t *tracked) {
	t.d.Status, t.d.Revision, t.d.URL = deploy.Succeeded, 1, "http://"+t.d.App+".example/"
	if o.failure != nil {
		t.d.Status, t.d.Failure = deploy.Failed, o.failure
	}
	t.emit("result")
}

func (t *tracked) emit(kind string) {
	d := t.d
	t.events = append(t.events, deploy.Event{Seq: uint64(len(t.events) + 1), Kind: kind, At: epoch, Deployment: &d})
	close(t.changed)
	t.changed = make(chan struct{})
}

func (o *orchestrator) Plan(_ context.Context, r deploy.Request) (deploy.Plan, error) {
	return deploy.Plan{App: r.App, Environment: "production", Operation: "create", Changes: []deploy.Change{{Field: "image", Kind: "changed", New: "x"}}}, nil
}

func (o *orchestrator) find(namespace, id string) (*tracked, error) {
	for _, t := range o.all {
		if t.d.ID == id && in(namespace, t.d.Namespace) {
			return t, nil
		}
	}
	return nil, status.New(status.NotFound, "deployment.unknown", "there is no such deployment")
}

func (o *orchestrator) Deployment(_ context.Context, namespace, id string) (deploy.Deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, err := o.find(namespace, id)
	if err != nil {
		return deploy.Deployment{}, err
	}
	return t.d, nil
}

func (o *orchestrator) ListDeployments(_ context.Context, namespace, _ string, _ deploy.Page) (out []deploy.Deployment, _ int, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.all {
		if in(namespace, t.d.Namespace) {
			out = append(out, t.d)
		}
	}
	return out, len(out), nil
}

func (o *orchestrator) Cancel(_ context.Context, namespace, id string) (deploy.Deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, err := o.find(namespace, id)
	if err != nil {
		return deploy.Deployment{}, err
	}
	if t.d.Status.Ended() {
		return deploy.Deployment{}, status.New(status.Conflict, "deployment.ended", "it has ended")
	}
	t.d.Status = deploy.Cancelled
	t.emit("result")
	return t.d, nil
}

func (o *orchestrator) again(namespace, id, environment, by string) (deploy.Deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, err := o.find(namespace, id)
	if err != nil {
		return deploy.Deployment{}, err
	}
	d := t.d
	d.ID, d.Environment, d.CreatedBy, d.Promoted, d.Status = uuid.NewString(), environment, by, id, deploy.Pending
	return o.start(d, [16]byte{}), nil
}

func (o *orchestrator) Rollback(_ context.Context, namespace, id, by string) (deploy.Deployment, error) {
	return o.again(namespace, id, "production", by)
}

func (o *orchestrator) Promote(_ context.Context, namespace, id, environment, by string) (deploy.Deployment, error) {
	return o.again(namespace, id, environment, by)
}

func (o *orchestrator) Watch(ctx context.Context, namespace, id string, after uint64, fn func(deploy.Event) error) error {
	for {
		o.mu.Lock()
		t, err := o.find(namespace, id)
		if err != nil {
			o.mu.Unlock()
			return err
		}
		events, changed, ended := slices.Clone(t.events), t.changed, t.d.Status.Ended()
		o.mu.Unlock()
		for _, e := range events {
			if e.Seq <= after {
				continue
			}
			if err := fn(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *orchestrator) Logs(ctx context.Context, namespace, id string, q provider.LogQuery, fn func(provider.LogLine) error) error {
	o.mu.Lock()
	_, err := o.find(namespace, id)
	o.query = q
	lines := o.lines
	o.mu.Unlock()
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := fn(l); err != nil {
			return err
		}
	}
	if q.Follow {
		<-ctx.Done()
	}
	return nil
}

// last is the last request that was submitted.
func (o *orchestrator) last() deploy.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.submits[len(o.submits)-1]
}

func (o *orchestrator) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.submits)
}

func (o *orchestrator) AddDomain(_ context.Context, namespace, id string, d deploy.Domain) (deploy.Domain, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, err := o.findApp(namespace, func(a deploy.App) bool { return a.ID == id })
	if err != nil {
		return deploy.Domain{}, err
	}
	for _, b := range o.apps {
		if slices.ContainsFunc(b.Domains, func(have deploy.Domain) bool { return have.Domain == d.Domain }) {
			return deploy.Domain{}, status.New(status.Conflict, "domain.taken", "another app holds %s", d.Domain)
		}
	}
	d.Environment, d.Created = cmp.Or(d.Environment, "production"), epoch
	a.Domains = append(a.Domains, d)
	return d, nil
}

func (o *orchestrator) RemoveDomain(_ context.Context, namespace, id, domain string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, err := o.findApp(namespace, func(a deploy.App) bool { return a.ID == id })
	if err != nil {
		return err
	}
	before := len(a.Domains)
	if a.Domains = slices.DeleteFunc(a.Domains, func(d deploy.Domain) bool { return d.Domain == domain }); len(a.Domains) == before {
		return status.New(status.NotFound, "domain.unknown", "the app has no domain %q", domain)
	}
	return nil
}
