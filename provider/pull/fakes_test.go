package pull_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/deploy"
	"apocryph/provider/providertest"
	"apocryph/provider/pull"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var must, refused = providertest.Must, providertest.Refused

// pipeline is the parts of the orchestrator: everything comes up at once, unless
// an app is bad.
type pipeline struct {
	mu   sync.Mutex
	t    *testing.T
	apps map[string]*placed
	seq  int
	// unbuildable and unhealthy are apps whose image cannot be made, and that do not
	// come up.
	unbuildable, unhealthy map[string]bool
	// builds, where it is not nil, gets each build that begins, which then does not end.
	builds chan string
	// log is what was done, in order: "image shop", "place shop", "remove shop".
	log  []string
	ends map[string]deploy.Deployment
	// placing is called once, when the first app is placed.
	placing func()
}

type placed struct {
	id      string
	request deploy.Request
	history []deploy.Deployment
}

func (p *pipeline) key(r deploy.Request) string { return r.App + "/" + r.Environment }

func (p *pipeline) note(text string) {
	p.log = append(p.log, text)
}

func (p *pipeline) Submit(ctx context.Context, r deploy.Request) (deploy.Deployment, error) {
	p.mu.Lock()
	p.seq++
	d := deploy.Deployment{ID: fmt.Sprintf("d%d", p.seq), AppID: "app-" + r.App, App: r.App, Environment: r.Environment, Namespace: r.Namespace, Source: r.Synced.Source, Group: r.Synced.Group}
	p.mu.Unlock()
	if p.builds != nil {
		p.builds <- r.App
		<-ctx.Done()
		return d, ctx.Err()
	}
	var err error
	if p.unbuildable[r.App] {
		err = status.New(status.InvalidArgument, "build.failed", "it does not compile")
	} else {
		p.mu.Lock()
		p.note("image " + p.key(r))
		p.mu.Unlock()
		err = r.Synced.Gate(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.placing != nil {
		p.placing()
		p.placing = nil
	}
	if err == nil && p.unhealthy[r.App] {
		err = status.New(status.AppFailed, "app.exited", "it exited with 1")
	}
	if err != nil {
		d.Status = deploy.Failed
		d.Failure = &deploy.Failure{Code: status.ReasonOf(err), Detail: status.Public(err).Detail, Class: status.CodeOf(err)}
	} else {
		d.Status = deploy.Succeeded
		d.URL = "http://" + r.App + ".example/"
		p.note("place " + p.key(r))
		if p.apps[p.key(r)] == nil {
			p.apps[p.key(r)] = &placed{id: d.AppID}
		}
		p.apps[p.key(r)].request = r
		p.apps[p.key(r)].history = append([]deploy.Deployment{d}, p.apps[p.key(r)].history...)
	}
	p.ends[d.ID] = d
	return d, nil
}

func (p *pipeline) Watch(_ context.Context, _, id string, _ uint64, fn func(deploy.Event) error) error {
	p.mu.Lock()
	d, ok := p.ends[id]
	p.mu.Unlock()
	if !ok {
		return errors.New("an unknown deployment")
	}
	return fn(deploy.Event{Seq: 1, Kind: "result", Deployment: &d})
}

func (p *pipeline) ListDeployments(_ context.Context, _, appID string, _ deploy.Page) ([]deploy.Deployment, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []deploy.Deployment
	for _, a := range p.apps {
		if a.id == appID {
			out = append(out, a.history...)
		}
	}
	return out, len(out), nil
}

func (p *pipeline) DeleteEnvironment(_ context.Context, _, appID, environment string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, a := range p.apps {
		if a.id == appID && key[len(key)-len(environment):] == environment {
			delete(p.apps, key)
			p.note("remove " + key)
			return nil
		}
	}
	return status.New(status.NotFound, "app.unknown", "no such app")
}

// world is what outlives a process: a git host, what is kept, and apps.
type world struct {
	*pipeline
	t      *testing.T
	server *gittest.Server
	docs   *providertest.Documents
	every  time.Duration
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, server: gittest.New(t), docs: providertest.NewDocuments(), every: time.Hour,
		pipeline: &pipeline{t: t, apps: map[string]*placed{}, unbuildable: map[string]bool{}, unhealthy: map[string]bool{}, ends: map[string]deploy.Deployment{}},
	}
}

// node is one process.
type node struct {
	*pull.Puller
	w    *world
	core *deploy.Orchestrator
	stop func()
}

func (w *world) run() *node {
	w.t.Helper()
	transport := &http.Transport{}
	f, err := git.New(git.Config{Bases: w.server.Bases(), Dir: w.t.TempDir(), HTTP: transport})
	must(w.t, err)
	serving := make(chan struct{})
	close(serving)
	// Groups are the real ones.
	core := deploy.New(deploy.Config{
		Apps: providertest.NewDocuments(), Deployments: providertest.NewDocuments(), Serving: serving, Now: time.Now, Aliases: noAliases{},
	})
	p := pull.New(pull.Settings{
		Documents: w.docs, Sources: f, Deploys: deploys{w.pipeline, core}, Apps: w.pipeline, Staging: w.t.TempDir(), Now: time.Now, Every: w.every,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{core.Run, p.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			transport.CloseIdleConnections()
		})
	}
	w.t.Cleanup(stop)
	<-core.Ready()
	<-p.Ready()
	return &node{p, w, core, stop}
}

// deploys has the parts of the pipeline, and real groups.
type deploys struct {
	*pipeline
	core *deploy.Orchestrator
}

func (d deploys) Group(ctx context.Context, next deploy.Deployment, work func(context.Context, *deploy.Group) error) (deploy.Deployment, error) {
	return d.core.Group(ctx, next, work)
}

// noAliases leads nowhere.
type noAliases struct{ deploy.Aliases }

func (noAliases) SetAliases(map[string]provider.Alias) {}

// put configures namespace "team".
func (n *node) put(repo string, change ...func(*pull.Config)) {
	n.w.t.Helper()
	c := pull.Config{Namespace: "team", Repo: repo, Branch: "main", AllowRollback: true}
	for _, f := range change {
		f(&c)
	}
	_, err := n.Put(n.w.t.Context(), c, 0)
	must(n.w.t, err)
}

// sync syncs to a ref and waits for the end.
func (n *node) sync(ref string) (deploy.Deployment, error) {
	n.w.t.Helper()
	n.w.mu.Lock()
	n.w.log = nil
	n.w.mu.Unlock()
	d, err := n.Sync(n.w.t.Context(), pull.Request{Namespace: "team", Ref: ref, By: "token:ci"})
	if err != nil {
		return d, err
	}
	must(n.w.t, n.core.Watch(n.w.t.Context(), "team", d.ID, 0, func(e deploy.Event) error {
		if e.Deployment != nil {
			d = *e.Deployment
		}
		return nil
	}))
	return d, nil
}

// results are what a sync did, as "NAME OPERATION STATUS".
func results(d deploy.Deployment) []string {
	var out []string
	for _, r := range d.Results {
		out = append(out, r.Name+" "+r.Operation+" "+r.Status)
	}
	return out
}

func (w *world) done() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.log))
}
