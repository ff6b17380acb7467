package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"apocryph/attest/commit"
	"apocryph/manifest/detect"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider/artifacts"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
	"apocryph/provider/providertest"
)

// yard is what builds are made in: the queue is real, the rest is not.
type yard struct {
	w    *world
	docs *providertest.Documents
	dir  string

	mu   sync.Mutex
	gate chan struct{}
	fail error
	// wants are what was fetched, jobs what was built.
	wants []git.Want
	jobs  []builds.Job
	arts  map[string]bool
}

type memory struct{ fstest.MapFS }

func (m memory) FS() fs.FS  { return m.MapFS }
func (memory) Close() error { return nil }

func (y *yard) Bring(_ context.Context, w git.Want, check func(git.Resolved) error) (builds.Files, git.Resolved, git.Fetched, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.wants = append(y.wants, w)
	c := commit.Commit{ID: strings.Repeat("ab", 20), Tree: strings.Repeat("cd", 20)}
	c.Author.Name = "Ann"
	r := git.Resolved{Repository: "https://example.org/" + w.Slug.Repo, Ref: w.Slug.Ref, Branch: "refs/heads/main", Commit: c}
	if err := check(r); err != nil {
		return nil, r, git.Fetched{}, err
	}
	return memory{fstest.MapFS{"svc/main.py": {Data: []byte("1")}}}, r, git.Fetched{Method: "clone"}, nil
}

func (y *yard) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	y.mu.Lock()
	gate, fail := y.gate, y.fail
	y.jobs = append(y.jobs, j)
	y.mu.Unlock()
	fmt.Fprintln(j.Log, "compiling", j.Plan.Runtime)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return builds.Made{}, ctx.Err()
		}
	}
	return builds.Made{Image: &oci.Image{Config: []byte("{}")}, Argv: []string{"python", "main.py"}, Warnings: []string{"old lock file"}}, fail
}

func (y *yard) Create(context.Context, string, string, string, string, map[string]string) (artifacts.Artifact, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	id := uuid.NewString()
	y.arts[id] = true
	return artifacts.Artifact{ID: id}, nil
}

func (y *yard) Upload(_ context.Context, _, id string, r io.Reader, _ map[string][]byte) (artifacts.Artifact, error) {
	_, err := io.Copy(io.Discard, r)
	return artifacts.Artifact{ID: id}, err
}

func (y *yard) Delete(_ context.Context, _, id string) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.arts, id)
	return nil
}

func newYard(w *world) *yard {
	return &yard{w: w, docs: providertest.NewDocuments(), dir: filepath.Join(w.t.TempDir(), "builds"), arts: map[string]bool{}}
}

// run starts the queue; both stop together.
func (y *yard) run() (*builds.Queue, func()) {
	q, err := builds.New(builds.Config{
		Documents: y.docs, Dir: y.dir, Sources: y, Builder: y, Importer: y.w.shop, Keeper: y.w.shop, Artifacts: y, Now: time.Now,
		Detect: func(_ fs.FS, h builds.Hints) (detect.Plan, error) {
			return detect.Plan{Runtime: detect.Runtime("found" + h.Runtime), Evidence: []string{"main.py"}}, nil
		},
		Exists: func(_ context.Context, _, id string) (bool, error) {
			y.mu.Lock()
			defer y.mu.Unlock()
			return y.arts[id], nil
		},
	})
	must(y.w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	<-q.Ready()
	stop := sync.OnceFunc(func() {
		cancel()
		must(y.w.t, <-done)
	})
	y.w.t.Cleanup(stop)
	return q, stop
}

// both starts the queue and an orchestrator over it.
func both(w *world, y *yard) (*deploy.Orchestrator, *builds.Queue, func()) {
	q, stopQueue := y.run()
	w.builds = q
	o, stop := w.run()
	return o, q, func() {
		stop()
		stopQueue()
	}
}

func fromGit(r *deploy.Request) {
	_ = r.Tree.Close()
	r.Tree, r.Runtime, r.ClaimedCommit = nil, "", "feedbee"
	r.Git = &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "v1"}}, Path: "svc"}
}

// compiling waits until the builder is at work.
func compiling(t *testing.T, o *deploy.Orchestrator, id string) {
	t.Helper()
	err := o.Watch(t.Context(), "team", id, 0, func(e deploy.Event) error {
		if e.Kind == "log" && strings.HasPrefix(e.Text, "compiling") {
			return io.EOF
		}
		return nil
	})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func awaiting(r *deploy.Request) {
	_ = r.Tree.Close()
	r.Tree, r.Runtime, r.AwaitBuild = nil, "", true
}

// TestBuiltFromGit: what is said of the commit is what the build fetched.
func TestBuiltFromGit(t *testing.T) {
	w := newWorld(t)
	y := newYard(w)
	o, q, _ := both(w, y)
	d, err := o.Submit(t.Context(), w.site(fromGit))
	must(t, err)
	if d.Source.Commit != "" {
		t.Errorf("got %+v", d.Source)
	}
	d, events := ended(t, o, d.ID)
	b, err := q.Build(t.Context(), "team", d.BuildID)
	must(t, err)
	want := deploy.Source{
		Type: "git", ClaimedCommit: "feedbee", Repository: "https://example.org/o/r", Ref: "v1", Branch: "refs/heads/main", Path: "svc",
		Commit: strings.Repeat("ab", 20), Tree: strings.Repeat("cd", 20), AuthorName: "Ann", Method: "clone",
	}
	if diff := cmp.Diff(want, d.Source); diff != "" || d.Status != deploy.Succeeded || d.ArtifactID != b.ArtifactID || b.DeploymentID != d.ID || b.AppID != d.AppID {
		t.Errorf("%s, %+v", diff, d)
	}
	if diff := cmp.Diff(deploy.Entry{Argv: []string{"python", "main.py"}, Reason: []string{"main.py"}}, d.Entry); diff != "" {
		t.Error(diff)
	}
	line := slices.IndexFunc(events, func(e deploy.Event) bool { return e.Kind == "log" && e.Text == "compiling found" })
	if line < 0 || events[len(events)-1].Kind != "result" || !slices.Contains(d.Warnings, "old lock file") {
		t.Errorf("got %+v, %v", events, d.Warnings)
	}
	if w.core.order("team", "shop").Containers[0].Image.ImageID != imageID {
		t.Error("another image runs")
	}

	// What the build made is deployed without being built again.
	again, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) {
		_ = r.Tree.Close()
		r.Tree, r.Runtime, r.ArtifactID = nil, "binary", d.ArtifactID
	}))
	must(t, err)
	again, _ = ended(t, o, again.ID)
	if diff := cmp.Diff(want, again.Source, cmp.Transformer("", func(s deploy.Source) deploy.Source { s.ClaimedCommit = ""; return s })); diff != "" ||
		again.Status != deploy.Succeeded || len(y.jobs) != 1 {
		t.Errorf("%s, %+v, %d builds", diff, again, len(y.jobs))
	}
}

func TestBuiltFromFiles(t *testing.T) {
	w := newWorld(t)
	y := newYard(w)
	o, _, _ := both(w, y)
	for _, runtime := range []string{"", "python", "node", "go", "dockerfile"} {
		// Trees are moved within one file system.
		d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.Runtime = runtime }))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		if d.Status != deploy.Succeeded || d.Source.Type != "upload" || !strings.HasPrefix(d.Source.Digest, "sha256:") {
			t.Errorf("%q: got %+v, %+v", runtime, d, d.Failure)
		}
	}
	if y.jobs[1].Plan.Runtime != "foundpython" || y.jobs[0].Port != 8080 {
		t.Errorf("got %+v", y.jobs)
	}
}

func TestFailedBuild(t *testing.T) {
	w := newWorld(t)
	y := newYard(w)
	y.fail = status.New(status.InvalidArgument, "build.command", "the compiler exited with 1")
	o, _, _ := both(w, y)
	d, err := o.Submit(t.Context(), w.site(fromGit))
	must(t, err)
	d, _ = ended(t, o, d.ID)
	if d.Status != deploy.Failed || d.Failure.Code != "build.command" || d.Failure.Class != status.InvalidArgument || !slices.Contains(d.Failure.Log, "compiling found") {
		t.Errorf("got %+v", d.Failure)
	}
	if d.Source.Commit == "" || w.core.order("team", "shop") != nil {
		t.Errorf("got %+v", d.Source)
	}
}

// TestZ10AttachedDeployment waits for a build that somebody submits for it.
func TestZ10AttachedDeployment(t *testing.T) {
	w := newWorld(t)
	y := newYard(w)
	o, q, stop := both(w, y)
	submit := func(o *deploy.Orchestrator, q *builds.Queue, id string) (builds.Build, error) {
		return o.Attach(t.Context(), "team", id, func(ctx context.Context) (builds.Build, error) {
			return q.Submit(ctx, builds.Request{Namespace: "team", DeploymentID: id, Git: &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r"}}}})
		})
	}
	d, err := o.Submit(t.Context(), w.site(awaiting))
	must(t, err)
	if d.Status != deploy.Pending || d.Stage != "waiting for a build" {
		t.Errorf("got %+v", d)
	}
	b, err := submit(o, q, d.ID)
	must(t, err)
	_, err = submit(o, q, d.ID)
	refused(t, err, status.Conflict, "deployment.not_waiting")
	d, events := ended(t, o, d.ID)
	if d.Status != deploy.Succeeded || d.BuildID != b.ID || d.Source.Type != "git" || !slices.ContainsFunc(events, func(e deploy.Event) bool { return e.Kind == "log" }) {
		t.Errorf("got %+v", d)
	}

	// The build's error is the deployment's.
	y.fail = status.New(status.InvalidArgument, "build.command", "no such module")
	d, err = o.Submit(t.Context(), w.site(awaiting))
	must(t, err)
	_, err = submit(o, q, d.ID)
	must(t, err)
	if d, _ = ended(t, o, d.ID); d.Status != deploy.Failed || d.Failure.Detail != "no such module" {
		t.Errorf("got %+v", d)
	}
	y.fail = nil

	// One that waits is cancelled; one that waits over a restart gets its build.
	d, err = o.Submit(t.Context(), w.site(awaiting))
	must(t, err)
	if d, err = o.Cancel(t.Context(), "team", d.ID); err != nil || d.Status != deploy.Cancelled {
		t.Errorf("got %+v, %v", d, err)
	}
	_, err = submit(o, q, d.ID)
	refused(t, err, status.Conflict, "deployment.not_waiting")
	d, err = o.Submit(t.Context(), w.site(awaiting))
	must(t, err)
	// A namespace that takes what is in its repository alone takes no build either, for a
	// deployment that was made before.
	w.refuse = func(string) error { return status.New(status.PermissionDenied, "sync.git_only", "no") }
	_, err = submit(o, q, d.ID)
	refused(t, err, status.PermissionDenied, "sync.git_only")
	w.refuse = nil
	stop()
	o, q, _ = both(w, y)
	_, err = submit(o, q, d.ID)
	must(t, err)
	if d, _ = ended(t, o, d.ID); d.Status != deploy.Succeeded {
		t.Errorf("got %+v, %+v", d, d.Failure)
	}
}

// TestBuildOverRestart: a deployment goes on when its build does.
func TestBuildOverRestart(t *testing.T) {
	for name, change := range map[string]func(*deploy.Request){"git": fromGit, "files": func(r *deploy.Request) { r.Runtime = "python" }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			y := newYard(w)
			y.gate = make(chan struct{})
			o, _, stop := both(w, y)
			secrets := map[string]map[string][]byte{"keys": {"token": []byte("s3cret")}}
			d, err := o.Submit(t.Context(), w.site(change, func(r *deploy.Request) { r.Secrets = secrets }))
			must(t, err)
			compiling(t, o, d.ID)
			stop()
			close(y.gate)
			o, q, _ := both(w, y)
			d, _ = ended(t, o, d.ID)
			if d.Status != deploy.Succeeded || w.core.order("team", "shop").Containers[0].Env[0].Value != "deployment" {
				t.Errorf("got %+v, %+v", d, d.Failure)
			}
			order, err := w.core.Ordered(t.Context(), "ns:team", "shop", d.Revision)
			if diff := cmp.Diff(secrets, order.Secrets); err != nil || diff != "" {
				t.Errorf("the secrets: %v, %s", err, diff)
			}
			all, err := w.deps.All(t.Context())
			if must(t, err); bytes.Contains(all[d.ID], []byte("czNjcmV0")) {
				t.Errorf("an ended deployment keeps its secrets: %s", all[d.ID])
			}
			if _, total, _ := q.List(t.Context(), "team", "", builds.Page{}); total != 1 {
				t.Errorf("%d builds", total)
			}
		})
	}
}

func TestCancelledWhileItBuilds(t *testing.T) {
	w := newWorld(t)
	y := newYard(w)
	y.gate = make(chan struct{})
	o, q, _ := both(w, y)
	d, err := o.Submit(t.Context(), w.site(fromGit))
	must(t, err)
	compiling(t, o, d.ID)
	d, err = o.Cancel(t.Context(), "team", d.ID)
	must(t, err)
	b, err := q.Build(t.Context(), "team", d.BuildID)
	if must(t, err); d.Status != deploy.Cancelled || b.Status != builds.Failed || b.Error != "cancelled" {
		t.Errorf("got %+v, %+v", d, b)
	}
}

func TestOrigin(t *testing.T) {
	w := newWorld(t)
	o, _, _ := both(w, newYard(w))
	a, err := o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "shop"})
	must(t, err)
	_, err = o.Origin(t.Context(), "team", a.ID)
	refused(t, err, status.InvalidArgument, "app.no_source")
	set := func(s deploy.AppSource) error {
		_, err := o.UpdateApp(t.Context(), "team", a.ID, 0, func(a *deploy.App) error { a.Source = &s; return nil })
		return err
	}
	for _, bad := range []deploy.AppSource{
		{},
		{Slug: "gh:o/r", Repo: "o/r"},
		{Slug: "nowhere"},
		{Repo: "../x"},
		{Repo: "o/r", Branch: "-x"},
		{Repo: "o/r", Path: "../x"},
		{Repo: "o/r", Entry: "/x"},
		{Repo: "o/r", Runtime: "cobol"},
	} {
		refused(t, set(bad), status.InvalidArgument, "app.invalid")
	}
	must(t, set(deploy.AppSource{Repo: "o/r", Branch: "main", Path: "svc/"}))
	s, err := o.Origin(t.Context(), "team", a.ID)
	must(t, err)
	for ref, want := range map[string]string{"": "main", "v1": "v1"} {
		g, err := s.Git(ref)
		if must(t, err); g.Want.Slug.Repo != "o/r" || g.Want.Slug.Ref != want || g.Want.Branch != "main" || g.Path != "svc" {
			t.Errorf("got %+v", g)
		}
	}
	if _, err := s.Git("--upload-pack=x"); err == nil {
		t.Error("an option was taken for a ref")
	}
}

func TestNoBuilds(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	_, err := o.Submit(t.Context(), w.site(fromGit))
	refused(t, err, status.Unimplemented, "deploy.no_builds")
}
