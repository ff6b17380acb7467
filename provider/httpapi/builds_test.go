package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"apocryph/proto/status"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

// queue is a Builds whose builds stay as they are.
type queue struct {
	mu     sync.Mutex
	all    []builds.Build
	reqs   []builds.Request
	files  []string
	refuse error
	events []builds.Event
}

func (q *queue) Submit(_ context.Context, r builds.Request) (builds.Build, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	tree := r.Tree
	defer func() { _ = tree.Close() }()
	if q.refuse != nil {
		return builds.Build{}, q.refuse
	}
	entries, err := os.ReadDir(r.Tree.Dir())
	if err != nil {
		return builds.Build{}, err
	}
	q.files = nil
	for _, e := range entries {
		q.files = append(q.files, e.Name())
	}
	b := builds.Build{
		ID: uuid.NewString(), Namespace: r.Namespace, AppID: r.AppID, DeploymentID: r.DeploymentID, Status: builds.Pending, Stage: "queued",
		Features: r.Features, Source: builds.Source{Type: "upload", ClaimedCommit: r.ClaimedCommit}, CreatedBy: r.By, Created: epoch,
	}
	r.Tree = nil
	q.all, q.reqs = append(q.all, b), append(q.reqs, r)
	return b, nil
}

func (q *queue) Build(_ context.Context, ns, id string) (builds.Build, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.all {
		if b.ID == id && in(ns, b.Namespace) {
			return b, nil
		}
	}
	return builds.Build{}, status.New(status.NotFound, "build.unknown", "there is no build %q", id)
}

func (q *queue) List(_ context.Context, ns, app string, _ builds.Page) ([]builds.Build, int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []builds.Build
	for _, b := range q.all {
		if in(ns, b.Namespace) && (app == "" || app == b.AppID) {
			out = append(out, b)
		}
	}
	return out, len(out), nil
}

func (q *queue) Cancel(ctx context.Context, ns, id string) (builds.Build, error) {
	b, err := q.Build(ctx, ns, id)
	b.Status, b.Error = builds.Failed, "cancelled"
	return b, err
}

func (q *queue) Watch(_ context.Context, _, _ string, after uint64, fn func(builds.Event) error) error {
	for _, e := range q.events {
		if e.Seq > after {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *queue) Log(context.Context, string, string) ([]byte, uint64, error) {
	return []byte("one\ntwo\n"), 2, nil
}

func (q *queue) Provenance(context.Context, string, string) ([]byte, error) {
	return []byte(`{"payloadType":"application/vnd.in-toto+json"}`), nil
}

func (q *queue) SBOM(context.Context, string, string) ([]byte, error) { return []byte(`{}`), nil }

func withBuilds(q *queue) func(*httpapi.Config) {
	return func(c *httpapi.Config) { c.Builds = q }
}

// appOf makes an app and returns its id.
func (w *world) appOf(name string) string {
	w.t.Helper()
	var a struct{ ID string }
	w.call("POST", "/api/v1/apps", `{"name":"`+name+`"}`, jsonType).want(w.t, 201).json(w.t, &a)
	return a.ID
}

// formOf is a build's form, metadata as a value unless file is set, in either order.
func formOf(meta string, file, last bool) (string, string) {
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	metadata := func() {
		var part io.Writer
		if part, _ = mw.CreateFormField("metadata"); file {
			part, _ = mw.CreateFormFile("metadata", "m.json")
		}
		_, _ = io.WriteString(part, meta)
	}
	if !last && !file {
		metadata()
	}
	project, _ := mw.CreateFormFile("project", "main.py")
	_, _ = io.WriteString(project, "print(1)")
	if last && !file {
		metadata()
	}
	_ = mw.Close()
	return b.String(), "Content-Type: " + mw.FormDataContentType()
}

// TestZ7Submit sends the forms that curl and other clients send.
func TestZ7Submit(t *testing.T) {
	q := &queue{}
	w := newWorld(t, withBuilds(q))
	app := w.appOf("shop")
	for _, last := range []bool{false, true} {
		body, kind := formOf(`{"app_id":"`+strings.ToUpper(app)+`","features":["full"],"commit_sha":"abcdef0"}`, false, last)
		r := w.call("POST", "/api/v1/builds", body, kind).want(t, 202)
		var b builds.Build
		r.json(t, &b)
		if r.Header.Get("Location") != "/api/v1/builds/"+b.ID || b.AppID != app || b.Namespace != "default" || b.Source.ClaimedCommit != "abcdef0" || b.Source.Commit != "" {
			t.Errorf("got %s", r.body)
		}
		w.call("GET", "/api/v1/builds/"+b.ID, "").want(t, 200)
	}
	if diff := cmp.Diff([]string{"main.py"}, q.files); diff != "" {
		t.Error(diff)
	}

	// The worked example, as it stands.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.py"), []byte("print(1)"), 0o600); err != nil {
		t.Fatal(err)
	}
	rc := fmt.Sprintf("header = %q\n", w.token("deploy:default"))
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", `tar czf "$TMP/project.tar.gz" --exclude=.curlrc .
curl -sf -X POST $BASE/api/v1/builds -F 'metadata={"app_id":"'$APP_ID'","features":["full"]}' -F "project=@$TMP/project.tar.gz"`)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMP=" + t.TempDir(), "BASE=http://" + w.addr, "APP_ID=" + app}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"status":"pending"`) || len(q.reqs) != 3 || q.reqs[2].Features[0] != "full" {
		t.Errorf("%v: %s", err, out)
	}
	w.call("GET", "/api/v1/builds?app_id="+app, "").want(t, 200)

	for name, meta := range map[string]string{
		"no app":        `{}`,
		"no uuid":       `{"app_id":"shop"}`,
		"deployment":    `{"app_id":"` + app + `","deployment_id":"x"}`,
		"unknown field": `{"app_id":"` + app + `","feature":"x"}`,
		"broken":        `{"app_id":`,
	} {
		body, kind := formOf(meta, false, false)
		if r := w.call("POST", "/api/v1/builds", body, kind); r.StatusCode != 400 {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
	body, kind := formOf(`{"app_id":"`+uuid.NewString()+`"}`, false, false)
	w.call("POST", "/api/v1/builds", body, kind).problem(t, 404, "app.unknown")
	body, kind = formOf("", true, false)
	w.call("POST", "/api/v1/builds", body, kind).problem(t, 400, "build.form", "metadata")
	w.call("POST", "/api/v1/builds", "{}", jsonType).problem(t, 415, "api.media_type")
	body, kind = formOf(`{"app_id":"`+app+`"}`, false, false)
	w.as(w.tcp, "POST", "/api/v1/builds", strings.NewReader(body), kind).want(t, 401)
	w.as(w.tcp, "POST", "/api/v1/builds", strings.NewReader(body), kind, w.token("deploy:other")).problem(t, 404, "app.unknown")
	w.as(w.tcp, "POST", "/api/v1/builds", strings.NewReader(body), kind, w.token("read:default")).want(t, 403)
	for _, c := range []struct {
		err  error
		code int
	}{
		{status.New(status.ResourceExhausted, "build.queue", "full").WithRetryAfter(30e9), 429},
		{status.New(status.Unavailable, "build.queue_full", "full").WithRetryAfter(30e9), 503},
	} {
		q.refuse = c.err
		if r := w.call("POST", "/api/v1/builds", body, kind).want(t, c.code); r.Header.Get("Retry-After") != "30" {
			t.Errorf("got %v", r.Header)
		}
	}
	if left, err := os.ReadDir(w.cfg.Staging); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestZ8Limit: 104857600 bytes of body are taken and one more is not, whichever part
// of the body it is in, and whether or not the length is said.
func TestZ8Limit(t *testing.T) {
	const limit = 104857600
	q := &queue{}
	w := newWorld(t, withBuilds(q))
	app := w.appOf("shop")
	head := "--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"app_id\":\"" + app + "\"}\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"project\"; filename=\"x.bin\"\r\n\r\n"
	tail := "\r\n--b--\r\n"
	for _, c := range []struct {
		name          string
		more, after   int
		chunked, fits bool
	}{
		{"exact", 0, 0, false, true},
		{"exact, chunked", 0, 0, true, true},
		{"one more", 1, 0, false, false},
		{"one more, chunked", 1, 0, true, false},
		{"one after the form, chunked", 0, 1, true, false},
		{"within, after the form", -9, 9, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fill := int64(limit - len(head) - len(tail) + c.more)
			body := io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, fill), strings.NewReader(tail+strings.Repeat("x", c.after)))
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider/api/v1/builds", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			if !c.chunked {
				req.ContentLength = fill + int64(len(head)+len(tail)+c.after)
			}
			resp, err := w.socket.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			r := reply{resp, b}
			if c.fits {
				r.want(t, 202)
				return
			}
			r.problem(t, 413, "http.too_large", "104857600")
		})
	}
	if len(q.reqs) != 3 {
		t.Errorf("%d builds", len(q.reqs))
	}
}

func TestBuildRoutes(t *testing.T) {
	q := &queue{events: []builds.Event{{Seq: 1, Kind: "status", Build: &builds.Build{}}, {Seq: 3, Kind: "log", Text: "three"}, {Seq: 4, Kind: "result", Build: &builds.Build{}}}}
	w := newWorld(t, withBuilds(q))
	body, kind := formOf(`{"app_id":"`+w.appOf("shop")+`"}`, false, false)
	var b builds.Build
	w.call("POST", "/api/v1/builds", body, kind).want(t, 202).json(t, &b)
	at := "/api/v1/builds/" + b.ID
	for path, want := range map[string]string{
		"/logs": "one\ntwo\n", "/logs?follow=true": "one\ntwo\nthree\n", "/provenance": "in-toto", "/sbom": "{}", "/events": "id: 3\nevent: log\n",
	} {
		if r := w.call("GET", at+path, "").want(t, 200); !strings.Contains(string(r.body), want) {
			t.Errorf("%s: %q", path, r.body)
		}
	}
	if r := w.call("GET", at+"/logs?follow=1", "", "Accept: application/x-ndjson").want(t, 200); string(r.body) != `{"text":"one"}`+"\n"+`{"text":"two"}`+"\n"+`{"text":"three"}`+"\n" {
		t.Errorf("got %q", r.body)
	}
	if r := w.call("GET", at+"/events", "", "Last-Event-ID: 3").want(t, 200); strings.Contains(string(r.body), "three") {
		t.Errorf("got %q", r.body)
	}
	w.call("POST", at+"/cancel", "").want(t, 200)
	other := w.token("read:other")
	for _, path := range []string{"", "/logs", "/events", "/provenance", "/sbom"} {
		w.as(w.tcp, "GET", at+path, nil, other).problem(t, 404, "build.unknown")
		w.as(w.tcp, "GET", at+path, nil).want(t, 401)
	}
	w.as(w.tcp, "POST", at+"/cancel", nil, w.token("read:default")).want(t, 403)
	w.call("GET", at+"/logs?follow=maybe", "").want(t, 400)
}

// TestZ10Waiting: a deployment without an artifact and an image waits for a build.
func TestZ10Waiting(t *testing.T) {
	q := &queue{}
	w := newWorld(t, withBuilds(q))
	w.deploys.gate = make(chan struct{})
	defer close(w.deploys.gate)
	app := w.appOf("shop")
	var d deploy.Deployment
	w.call("POST", "/api/v1/apps/"+app+"/deployments", `{"replicas":1}`, jsonType).want(t, 201).json(t, &d)
	if r := w.deploys.submits[0]; !r.AwaitBuild || r.Runtime != "" {
		t.Errorf("got %+v", r)
	}
	send := func(app, id string) reply {
		body, kind := formOf(`{"app_id":"`+app+`","deployment_id":"`+id+`"}`, false, false)
		return w.call("POST", "/api/v1/builds", body, kind)
	}
	send(app, d.ID).problem(t, 409, "deployment.not_waiting")
	send(app, uuid.NewString()).problem(t, 404, "deployment.unknown")
	send(w.appOf("other"), d.ID).problem(t, 400, "build.metadata")
	w.deploys.mu.Lock()
	w.deploys.all[0].d.Stage = "waiting for a build"
	w.deploys.mu.Unlock()
	send(app, d.ID).want(t, 202)
	if q.reqs[0].DeploymentID != d.ID {
		t.Errorf("got %+v", q.reqs[0])
	}
}

// TestZ11Trigger builds and deploys in one call.
func TestZ11Trigger(t *testing.T) {
	w := newWorld(t, withBuilds(&queue{}))
	app := w.appOf("shop")
	at := "/api/v1/apps/" + app
	w.call("POST", at+"/deploy/trigger", "").problem(t, 400, "app.no_source")
	w.call("PUT", at, `{"source":{"slug":"gh:o/r","git_branch":"main","git_path":"svc","runtime":"python","entry":"app.py"}}`, jsonType).want(t, 200)
	w.call("POST", at+"/deploy/trigger", `{"ref":"v2"}`, jsonType).want(t, 201)
	r := w.deploys.submits[0]
	if r.Git == nil || r.Git.Want.Slug.Ref != "v2" || r.Git.Want.Branch != "main" || r.Git.Path != "svc" || r.Runtime != "python" || r.Entry != "app.py" || r.Environment != "development" {
		t.Errorf("got %+v, %+v", r, r.Git)
	}
	if r.Manifest.Containers[0].Ports[0].TargetPort != 8080 {
		t.Errorf("got %+v", r.Manifest.Containers[0])
	}
	w.call("POST", at+"/deploy/trigger", `{"ref":"--x"}`, jsonType).problem(t, 400, "slug.invalid")
	w.call("POST", at+"/deploy/trigger", `{"branch":"x"}`, jsonType).want(t, 400)
	w.call("PUT", at, `{"source":{}}`, jsonType).want(t, 200)
	w.call("POST", at+"/deploy/trigger", "").problem(t, 400, "app.no_source")
}

// TestI12Slugs: one that fails does not stop the others, and each is told of.
func TestI12Slugs(t *testing.T) {
	w := newWorld(t, withBuilds(&queue{}))
	r := w.call("POST", "/deploy", `{"slugs":["gh:org/service-a","gh:openai/sample-app#v1.2.3"]}`, jsonType).want(t, 200)
	text := string(r.body)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") || r.Header.Get("Deprecation") != "" {
		t.Errorf("got %v", r.Header)
	}
	for _, want := range []string{`"step":1,"total":2,"slug":"gh:org/service-a"`, `"step":2,"total":2,"slug":"gh:openai/sample-app#v1.2.3"`, "event: result", `"status":"completed"`, `"health_status":"SERVING"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if at := strings.Index(text, "event: result"); strings.Contains(text[at:], "event: status") {
		t.Error("the result is not the last event")
	}
	if s := w.deploys.submits; len(s) != 2 || s[0].App != "service-a" || s[1].Git.Want.Slug.Ref != "v1.2.3" || s[0].RequestID == s[1].RequestID {
		t.Errorf("got %+v", s)
	}
	w.deploys.failure = &deploy.Failure{Code: "build.command", Detail: "no module", Class: status.InvalidArgument}
	var out struct {
		Results []struct {
			Deployed     bool
			ErrorMessage string `json:"error_message"`
		}
	}
	// Who waits for all, and for one of which something failed, is told by the status too.
	failed := w.call("POST", "/deploy", `{"slugs":["gh:o/a","gh:o/b"],"environment":"development"}`, jsonType, "Accept: application/json")
	failed.problem(t, 400, "build.command", "gh:o/a: no module")
	failed.json(t, &out)
	if len(out.Results) != 2 || out.Results[1].ErrorMessage != "no module" || out.Results[0].Deployed {
		t.Errorf("got %+v", out)
	}
	w.deploys.refuse = status.New(status.ResourceExhausted, "deploy.queue", "too many")
	for _, accept := range []string{"text/event-stream", "application/json"} {
		w.call("POST", "/deploy", `{"slugs":["gh:o/a"]}`, jsonType, "Accept: "+accept).problem(t, 429, "deploy.queue", "gh:o/a: too many")
	}
	w.call("POST", "/deploy", `{"slugs":["gh:o/a"]}`, jsonType, "Prefer: respond-async").problem(t, 429, "deploy.queue")
	w.deploys.refuse = nil
	w.call("POST", "/deploy", `{"slugs":["gh:o/c"]}`, jsonType, "Prefer: respond-async").want(t, 202)
	before := len(w.deploys.submits)
	w.call("POST", "/deploy?dry_run=true", `{"slugs":["gh:o/c"]}`, jsonType).problem(t, 400, "deploy.dry_run", "dry_run")
	for bad, field := range map[string]string{
		`{"slugs":["gh:o/a"],"slugs":["gh:o/b"]}`: "/slugs", `{"slugs":["gh:o/a"],"namespace":"default","namespace":"other"}`: "/namespace",
	} {
		w.call("POST", "/deploy", bad, jsonType).problem(t, 400, "json.invalid", field)
	}
	if len(w.deploys.submits) != before {
		t.Error("what was refused is deployed")
	}
	for _, bad := range []string{`{"slugs":[]}`, `{"slugs":["nowhere"]}`, `{"slugs":["gh:o/a","gh:o/a"]}`, `{"slugs":["gh:o/a"],"names":1}`, `{"slugs":"gh:o/a"}`, `{"slugs":["gh:o/a"],"environment":"A b"}`} {
		if r := w.call("POST", "/deploy", bad, jsonType); r.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, r.StatusCode, r.body)
		}
	}
	w.as(w.tcp, "POST", "/deploy", strings.NewReader(`{"slugs":["gh:o/a"]}`), jsonType, w.token("read:default")).want(t, 403)
}

// TestI12SlugsResume: who repeats the request with its key, and the id of any event, gets
// what came after it, and makes nothing twice.
func TestI12SlugsResume(t *testing.T) {
	w := newWorld(t, withBuilds(&queue{}))
	w.deploys.stages = []string{"building", "starting"}
	const body = `{"slugs":["gh:o/a","gh:o/b","gh:o/c"]}`
	const key = "Idempotency-Key: three"
	events := func(r reply) (ids, data []string) {
		t.Helper()
		for e := range strings.SplitSeq(strings.TrimSpace(string(r.want(t, 200).body)), "\n\n") {
			lines := strings.Split(e, "\n")
			ids, data = append(ids, strings.TrimPrefix(lines[0], "id: ")), append(data, lines[2])
		}
		return ids, data
	}
	ids, data := events(w.call("POST", "/deploy", body, jsonType, key))
	if len(ids) != 10 {
		t.Fatalf("got %v", data)
	}
	for i, id := range ids {
		_, again := events(w.call("POST", "/deploy", body, jsonType, key, "Last-Event-ID: "+id))
		// Three go on side by side: which of them is first is nobody's promise.
		want := slices.Clone(data[min(i+1, len(data)-1):])
		slices.Sort(want)
		if slices.Sort(again); !slices.Equal(again, want) {
			t.Errorf("after %s there is %q, want %q", id, again, want)
		}
	}
	made := map[[16]byte]bool{}
	for _, r := range w.deploys.submits {
		made[r.RequestID] = true
	}
	if len(made) != 3 {
		t.Errorf("%d deployments were made", len(made))
	}
	before := len(w.deploys.submits)
	for _, bad := range []string{"3", "1.2", "1.2.3.4", "1.2.x", "1.2.-3", "1.2.", "1.2.99999999999999999999"} {
		w.call("POST", "/deploy", body, jsonType, key, "Last-Event-ID: "+bad).problem(t, 400, "api.event_id", "Last-Event-ID")
	}
	w.call("POST", "/deploy", body, jsonType, "Last-Event-ID: 1.2.3").problem(t, 400, "api.event_id", "Idempotency-Key")
	if len(w.deploys.submits) != before {
		t.Error("what was refused is deployed")
	}
}

// TestDeploySource: the earlier form, with a repository, is built from git.
func TestDeploySource(t *testing.T) {
	w := newWorld(t, withBuilds(&queue{}))
	for source, want := range map[string]string{
		"https://github.com/O/R.git": "gh:o/r#main", "gh:o/r": "gh:o/r#main", "https://git.example.org/a/b": "git+https://git.example.org/a/b#main",
	} {
		w.call("POST", "/deploy", `{"name":"app","source":"`+source+`","ref":"main"}`, jsonType).want(t, 201)
		r := w.deploys.submits[len(w.deploys.submits)-1]
		if r.Git == nil || r.Git.Want.Slug.String() != want || r.Runtime != "" {
			t.Errorf("%s: got %+v", source, r.Git)
		}
	}
	w.call("POST", "/deploy", `{"name":"app","source":"ssh://x/y"}`, jsonType).problem(t, 400, "slug.invalid")
	w.call("POST", "/deploy", `{"name":"app","runtime":"python"}`, jsonType).problem(t, 400, "deploy.files_missing")
	w.call("POST", "/deploy", `{"name":"app"}`, jsonType).problem(t, 400, "deploy.files_missing")
}
