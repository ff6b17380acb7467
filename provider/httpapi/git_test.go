package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
	"apocryph/provider/providertest"
	"apocryph/provider/pull"
)

// synced is the orchestrator in memory, with real groups of its deployments.
type synced struct {
	*orchestrator
	core *deploy.Orchestrator
}

func (s *synced) Group(ctx context.Context, next deploy.Deployment, work func(context.Context, *deploy.Group) error) (deploy.Deployment, error) {
	return s.core.Group(ctx, next, work)
}

func (s *synced) Deployment(ctx context.Context, ns, id string) (deploy.Deployment, error) {
	if d, err := s.core.Deployment(ctx, ns, id); err == nil {
		return d, nil
	}
	return s.orchestrator.Deployment(ctx, ns, id)
}

func (s *synced) Watch(ctx context.Context, ns, id string, after uint64, fn func(deploy.Event) error) error {
	if _, err := s.core.Deployment(ctx, ns, id); err == nil {
		return s.core.Watch(ctx, ns, id, after, fn)
	}
	return s.orchestrator.Watch(ctx, ns, id, after, fn)
}

func (s *synced) Cancel(ctx context.Context, ns, id string) (deploy.Deployment, error) {
	if _, err := s.core.Deployment(ctx, ns, id); err == nil {
		return s.core.Cancel(ctx, ns, id)
	}
	return s.orchestrator.Cancel(ctx, ns, id)
}

// DeleteEnvironment always finds one.
func (s *synced) DeleteEnvironment(context.Context, string, string, string) error { return nil }

// noHosts leads nowhere.
type noHosts struct{ deploy.Aliases }

func (noHosts) SetAliases(map[string]provider.Alias) {}

// host is a git host with one repository of one site, and the API before it.
type host struct {
	*world
	server *gittest.Server
	repo   *gittest.Repo
	puller *pull.Puller
}

func siteRepo(text string) map[string]string {
	return map[string]string{"apps/site.yaml": "name: site\nruntime: static\ndirectory: www\n", "apps/www/index.html": text, "other.yaml": "name: other\nruntime: static\n"}
}

func newHost(t *testing.T, change ...func(*httpapi.Config)) *host {
	h := &host{server: gittest.New(t)}
	h.repo = h.server.Repo("acme/metrics")
	h.repo.Commit("main", siteRepo("one"))
	transport := &http.Transport{}
	f, err := git.New(git.Config{Bases: h.server.Bases(), Dir: t.TempDir(), HTTP: transport})
	if err != nil {
		t.Fatal(err)
	}
	serving := make(chan struct{})
	close(serving)
	documents := providertest.NewDocuments
	s := &synced{core: deploy.New(deploy.Config{Apps: documents(), Deployments: documents(), Serving: serving, Now: time.Now, Aliases: noHosts{}})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		transport.CloseIdleConnections()
	})
	h.world = newWorld(t, func(c *httpapi.Config) {
		s.orchestrator = c.Deployments.(*orchestrator)
		h.puller = pull.New(pull.Settings{Documents: documents(), Sources: f, Deploys: s, Apps: s, Staging: t.TempDir(), Now: time.Now, Every: time.Hour})
		c.Deployments, c.Repositories = s, h.puller
		for _, f := range change {
			f(c)
		}
	})
	for _, run := range []func(context.Context) error{s.core.Run, h.puller.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	<-s.core.Ready()
	<-h.puller.Ready()
	return h
}

const (
	gitPath  = "/api/v1/namespaces/shop.main/git"
	syncPath = "/namespaces/shop.main/sync-from-git"
	hookPath = "/api/v1/namespaces/shop.main/webhook"
	metrics  = `{"github_repo_path":"acme/metrics","git_path":"apps/"`
)

// put configures the namespace, with more members.
func (h *host) put(more string) reply {
	h.t.Helper()
	if more != "" {
		more = "," + more
	}
	return h.call("PUT", gitPath, metrics+more+"}", jsonType).want(h.t, 200)
}

func (h *host) sync(body string, headers ...string) reply {
	h.t.Helper()
	return h.call("POST", syncPath, body, append(headers, jsonType)...)
}

// TestG1Endpoint syncs to a ref, without a prefix and below it, and finds the
// deployment where all others are.
func TestG1Endpoint(t *testing.T) {
	h := newHost(t)
	h.put("")
	id := h.repo.Head("main")
	for i, at := range []string{syncPath, "/api/v1" + syncPath} {
		for _, body := range []string{`{"ref":"main"}`, `{"ref":"` + id + `"}`, `{}`, ``} {
			r := h.call("POST", at, body, jsonType).want(t, 200)
			var d deploy.Deployment
			r.json(t, &d)
			if d.Status != deploy.Succeeded || d.Source.Type != "git" || d.Source.Commit != id || d.Namespace != "shop.main" || len(d.Results) != 1 || d.Results[0].Name != "site/production" {
				t.Fatalf("%d %s: %+v", i, body, d)
			}
			if r.Header.Get("Location") != "/api/v1/deployments/"+d.ID {
				t.Errorf("Location: %q", r.Header.Get("Location"))
			}
			for _, path := range []string{"", "/wait", "/events"} {
				h.call("GET", "/api/v1/deployments/"+d.ID+path, "").want(t, 200)
			}
			h.call("POST", "/api/v1/deployments/"+d.ID+"/cancel", "").problem(t, 409, "deployment.ended")
		}
	}
	if got := h.deploys.last(); got.App != "site" || got.Synced == nil || got.By != "uid:0" {
		t.Errorf("submitted %+v", got)
	}
	r := h.sync(`{"ref":"main"}`, "Prefer: respond-async").want(t, 202)
	if r.Header.Get("Preference-Applied") != "respond-async" || !strings.HasPrefix(r.Header.Get("Location"), "/api/v1/deployments/") {
		t.Errorf("headers %v", r.Header)
	}
	r = h.sync(`{"ref":"main"}`, "Accept: text/event-stream").want(t, 200)
	if !strings.Contains(string(r.body), "event: result") || !strings.Contains(string(r.body), id) {
		t.Errorf("the stream is %s", r.body)
	}
	var s map[string]any
	h.call("GET", gitPath, "").want(t, 200).json(t, &s)
	if s["synced_commit"] != id || s["synced_at"] == nil {
		t.Errorf("the namespace is %v", s)
	}
}

// TestG1Failure has one app not come up: the answer is that of any deploy that waits.
func TestG1Failure(t *testing.T) {
	h := newHost(t)
	h.put("")
	h.deploys.failure = &deploy.Failure{Code: "pod.failed", Detail: "it exited", Log: []string{"last words"}, Class: status.AppFailed}
	doc := h.sync(`{"ref":"main"}`).problem(t, 502, "pod.failed", "site/production", "last words")
	if d := doc["deployment"].(map[string]any); d["status"] != "failed" || doc["deployment_id"] != d["id"] {
		t.Errorf("got %v", doc)
	}
	var s map[string]any
	if h.call("GET", gitPath, "").want(t, 200).json(t, &s); s["synced_commit"] != nil {
		t.Errorf("a failed sync is shown as %v", s["synced_commit"])
	}
}

// TestG3RefOnly refuses whatever is no ref.
func TestG3RefOnly(t *testing.T) {
	h := newHost(t)
	h.put("")
	for _, body := range []string{
		`{"ref":"main","git_path":"other"}`, `{"ref":"main","github_repo_path":"evil/repo"}`, `{"ref":"main","specs":[]}`, `{"Ref":"main"}`,
		`{"ref":"main","commit_sha":"` + h.repo.Head("main") + `"}`, `{"ref":"main","namespace":"other"}`, `{"ref":"main","ref":"main"}`,
		`{"ref":7}`, `{"ref":["main"]}`, `{"ref":""}`, `["main"]`, `"main"`, `{"ref":"main"} {}`, `{"ref":"main"`, `null`,
	} {
		r := h.sync(body)
		if r.StatusCode != 400 || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	form := "--b\r\nContent-Disposition: form-data; name=\"ref\"\r\n\r\nmain\r\n--b--\r\n"
	for _, path := range []string{syncPath, "/api/v1" + syncPath} {
		h.call("POST", path, form, "Content-Type: multipart/form-data; boundary=b").problem(t, 415, "api.media_type")
		h.call("POST", path, strings.Repeat("x", 3<<20), "Content-Type: multipart/form-data; boundary=b").problem(t, 415, "api.media_type")
		h.call("POST", path, "ref=main", "Content-Type: application/x-www-form-urlencoded").problem(t, 415, "api.media_type")
		h.call("POST", path, `{"ref":"main"}`, "Content-Type: application/yaml").problem(t, 415, "api.media_type")
	}
	if n := h.deploys.count(); n != 0 {
		t.Errorf("%d apps were deployed", n)
	}
}

// TestG6OneSchema: a sync answers with the schema that other deploys answer with.
func TestG6OneSchema(t *testing.T) {
	h := newHost(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct {
					Schema json.RawMessage
				}
			}
		}
	}
	h.call("GET", "/openapi.json", "").want(t, 200).json(t, &doc)
	schema := func(path, method, code string) string {
		t.Helper()
		s := doc.Paths[path][method].Responses[code].Content["application/json"].Schema
		if s == nil {
			t.Fatalf("%s %s has no %s", method, path, code)
		}
		return strings.Join(strings.Fields(string(s)), "")
	}
	want := schema("/deploy", "post", "201")
	if !strings.Contains(want, `"$ref":"#/components/schemas/`) {
		t.Errorf("a deploy answers with %s", want)
	}
	const sync, versioned = "/namespaces/{namespace}/sync-from-git", "/api/v1/namespaces/{namespace}/sync-from-git"
	for _, at := range [][3]string{
		{sync, "post", "200"},
		{sync, "post", "202"},
		{versioned, "post", "200"},
		{versioned, "post", "202"},
		{"/api/v1/deployments", "post", "201"},
		{"/api/v1/apps/{id}/deployments", "post", "201"},
		{"/api/v1/deployments/{id}", "get", "200"},
	} {
		if got := schema(at[0], at[1], at[2]); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

// TestG8UnknownRef names the ref and the repository.
func TestG8UnknownRef(t *testing.T) {
	h := newHost(t)
	h.put("")
	h.repo.Tag("v1.0", h.repo.Head("main"))
	for ref, reason := range map[string]string{
		"nowhere": "git.ref_not_found", "abc1234": "git.ref_not_found", "v1.0": "git.ref_not_found", strings.Repeat("0", 40): "git.not_on_branch",
	} {
		h.sync(`{"ref":"`+ref+`"}`).problem(t, 400, reason, ref, "acme/metrics")
	}
	h.sync(`{"ref":"refs/pull/1/head"}`).problem(t, 400, "slug.invalid", "refs/pull/1/head")
	for _, ref := range []string{"--upload-pack=x", "a..b", "a b", "-x"} {
		if r := h.sync(`{"ref":"` + ref + `"}`); r.StatusCode != 400 {
			t.Errorf("%s: %d %s", ref, r.StatusCode, r.body)
		}
	}
	h.server.Fail(503, gittest.Refs)
	h.sync(`{"ref":"main"}`).problem(t, 502, "git.unavailable")
	if n := h.deploys.count(); n != 0 {
		t.Errorf("%d apps were deployed", n)
	}
}

// TestG12Unmerged: what is not on the configured branch is refused, by whichever name;
// without one, that is the repository's default branch.
func TestG12Unmerged(t *testing.T) {
	h := newHost(t)
	unmerged := h.repo.Commit("feature", siteRepo("not reviewed"), gittest.Parents(h.repo.Head("main")))
	forked := h.repo.Fork("mallory/metrics").Commit("evil", siteRepo("stolen"), gittest.Parents(h.repo.Head("main")))
	for _, config := range []string{`"git_branch":"main"`, ``} {
		h.put(config)
		for _, ref := range []string{"feature", unmerged, unmerged[:12], forked} {
			if r := h.sync(`{"ref":"` + ref + `"}`); r.StatusCode != 400 || !strings.Contains(string(r.body), "git.not_on_branch") && !strings.Contains(string(r.body), "git.ref_not_found") {
				t.Errorf("configured with %q, ref %s: %d %s", config, ref, r.StatusCode, r.body)
			}
		}
	}
	if n := h.deploys.count(); n != 0 {
		t.Errorf("%d apps were deployed", n)
	}
}

// TestG9NoRepository names the namespace.
func TestG9NoRepository(t *testing.T) {
	h := newHost(t)
	h.sync(`{"ref":"abc123"}`).problem(t, 400, "sync.no_repository", "shop.main", "github_repo_path")
	h.call("PUT", gitPath, `{"git_path":"apps"}`, jsonType).problem(t, 400, "sync.config", "/github_repo_path")
	h.call("GET", gitPath, "").problem(t, 404, "sync.unknown", "shop.main")
	h.call("DELETE", gitPath, "").problem(t, 404, "sync.unknown", "shop.main")
	h.call("POST", "/namespaces/A..b/sync-from-git", `{"ref":"main"}`, jsonType).problem(t, 400, "api.namespace")
}

// TestG11Claims: a commit that a caller names beside what it uploads is a claim.
func TestG11Claims(t *testing.T) {
	h := newHost(t)
	h.put(`"git_only":true`)
	r := h.call("POST", "/deploy", `{"name":"x","runtime":"image","image":"registry.example/x:1","commit_sha":"`+h.repo.Head("main")+`"}`, jsonType).want(t, 201)
	if got := h.deploys.last(); got.ClaimedCommit != h.repo.Head("main") || got.Synced != nil || got.Git != nil {
		t.Errorf("submitted %+v", got)
	}
	if strings.Contains(string(r.body), `"commit_sha"`) {
		t.Errorf("a claim is shown as a commit: %s", r.body)
	}
	if err := h.puller.Refuse("shop.main"); status.ReasonOf(err) != "sync.git_only" {
		t.Errorf("got %v", err)
	}
	h.deploys.refuse = h.puller.Refuse("shop.main")
	h.call("POST", "/deploy", `{"name":"x","runtime":"image","image":"registry.example/x:1","namespace":"shop.main"}`, jsonType).
		problem(t, 403, "sync.git_only", "acme/metrics")
}
