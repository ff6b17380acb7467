package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// ended waits for the end of a deployment, for minutes: a compiler that starts cold may be
// beside others.
func (d *door) ended(t *testing.T, id string) (got map[string]any) {
	t.Helper()
	for range 5 {
		got = object(t, d.sh(`curl -f "$API/api/v1/deployments/$ID/wait?timeout=60s"`, "ID="+id))
		if s := got["status"]; s != "pending" && s != "running" {
			break
		}
	}
	return got
}

// TestZ10BuildOfADeployment: a deployment that was made first waits for its build, and
// then runs, or fails with the build's reason; the log of the build is the deployment's.
func TestZ10BuildOfADeployment(t *testing.T) {
	d := builder(t)
	defer d.clean(t)
	app := object(t, d.sh(`curl -f $API/api/v1/apps -H 'Content-Type: application/json' -d '{"name":"waits"}'`))["id"].(string)
	build := func(files string) (deployment, build string) {
		t.Helper()
		waits := object(t, d.sh(`curl -f $API/api/v1/apps/$APP/deployments -H 'Content-Type: application/json' -d '{"replicas":1}'`, "APP="+app))
		if waits["status"] != "pending" || waits["stage"] != "waiting for a build" {
			t.Errorf("it does not wait: %v", waits)
		}
		id := waits["id"].(string)
		b := object(t, d.sh(`rm -rf up && mkdir up && cd up && `+files+` && tar czf ../up.tar.gz . && cd .. &&
curl -f $API/api/v1/builds -F "metadata={\"app_id\":\"$APP\",\"deployment_id\":\"$ID\"}" -F project=@up.tar.gz`, "APP="+app, "ID="+id))
		return id, b["id"].(string)
	}
	id, b := build(`echo '<h1>waited</h1>' > index.html`)
	got := d.ended(t, id)
	if got["status"] != "succeeded" || got["build_id"] != b {
		t.Fatalf("got %v", got)
	}
	if page := d.app(got["url"].(string)); page != "<h1>waited</h1>\n 200" {
		t.Errorf("it answers %q", page)
	}
	events := func(id string) string {
		return d.sh(`curl -f -H 'Accept: application/x-ndjson' $API/api/v1/deployments/$ID/events`, "ID="+id)
	}
	if text := events(id); !strings.Contains(text, "index.html") {
		t.Errorf("the log of the build is not the deployment's: %s", text)
	}
	id, b = build(`printf 'module x\n' > go.mod && printf 'package main\n\nfunc main() { undefined() }\n' > main.go`)
	got = d.ended(t, id)
	if text := fmt.Sprint(got); got["status"] != "failed" || got["build_id"] != b || !strings.Contains(text, "build.command") {
		t.Errorf("got %v", got)
	}
	if text := events(id); !strings.Contains(text, "undefined: undefined") {
		t.Errorf("the compiler's words are not the deployment's: %s", text)
	}
	if state := object(t, d.sh(`curl -f $API/api/v1/builds/$ID`, "ID="+b)); state["status"] != "failed" || state["progress"] == 100.0 || state["error"] == nil {
		t.Errorf("the build is %v", state)
	}
}

// TestZ11Trigger builds and deploys in one call what an app's source has, and says what is
// missing where it has none. A deploy of slugs does so for each, beside others that fail (I12).
func TestZ11Trigger(t *testing.T) {
	d := builder(t)
	defer d.clean(t)
	dir, first := d.w.Repository("repos/shop", "", map[string]string{"index.html": "<h1>root</h1>", "svc/index.html": "<h1>one</h1>"})
	app := object(t, d.sh(`curl -f $API/api/v1/apps -H 'Content-Type: application/json' -d '{"name":"shop"}'`))["id"].(string)
	trigger := func(body string) map[string]any {
		t.Helper()
		return object(t, d.sh(`curl $API/api/v1/apps/$APP/deploy/trigger -H 'Content-Type: application/json' -d "$BODY"`, "APP="+app, "BODY="+body))
	}
	if got := trigger(`{}`); got["status"] != 400.0 || got["type"] != "urn:apocryph:problem:app.no_source" {
		t.Errorf("without a source: %v", got)
	}
	d.sh(`curl -f -X PUT $API/api/v1/apps/$APP -H 'Content-Type: application/json' -d "{\"source\":{\"slug\":\"file://$DIR\",\"git_branch\":\"main\",\"git_path\":\"svc\"}}"`,
		"APP="+app, "DIR="+dir)
	second := d.w.Commit(dir, map[string]string{"svc/index.html": "<h1>two</h1>"})
	d.w.Git(dir, "checkout", "-q", "-b", "feature")
	unmerged := d.w.Commit(dir, map[string]string{"svc/index.html": "<h1>unmerged</h1>"})
	d.w.Git(dir, "checkout", "-q", "main")
	for _, tt := range []struct{ body, commit, page string }{
		{`{}`, second, "<h1>two</h1>"},
		{`{"ref":"` + first + `","environment":"production"}`, first, "<h1>one</h1>"},
	} {
		got := d.ended(t, trigger(tt.body)["id"].(string))
		if got["status"] != "succeeded" || got["build_id"] == nil || got["source"].(map[string]any)["commit_sha"] != tt.commit {
			t.Fatalf("%s: got %v", tt.body, got)
		}
		if page := d.app(got["url"].(string)); page != tt.page+" 200" {
			t.Errorf("%s: it answers %q", tt.body, page)
		}
	}
	for _, ref := range []string{"nowhere", unmerged, "feature"} {
		got := trigger(`{"ref":"` + ref + `"}`)
		if id, ok := got["id"].(string); ok {
			got = d.ended(t, id)
		}
		if got["status"] == "succeeded" || !strings.Contains(fmt.Sprint(got), "git.") {
			t.Errorf("%s: got %v", ref, got)
		}
	}

	d.w.Repository("repos/empty", "", map[string]string{"README": "nothing to run"})
	text := d.sh(`curl -N $API/deploy -H 'Content-Type: application/json' -d "{\"slugs\":[\"file://$ROOT/empty\",\"file://$ROOT/shop#main\"],\"environment\":\"staging\"}"`, "ROOT="+d.w.Path("repos"))
	for _, want := range []string{
		`"step":1,"total":2,"slug":"file://` + d.w.Path("repos/empty"), `"step":2,"total":2,"slug":"file://` + d.w.Path("repos/shop"), "entrypoint.not_found", `"health_status":"SERVING"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the stream lacks %s: %s", want, text)
		}
	}
	if at := strings.LastIndex(text, "event: "); !strings.HasPrefix(text[at:], "event: result") {
		t.Errorf("the last event is %s", text[at:])
	}
}
