package httpapi_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/provider/auth"
	"apocryph/provider/httpapi"
)

// open is an API that lets in programs on this machine, as the examples have no
// token in them.
func open(t *testing.T) func(*httpapi.Config) {
	door, err := auth.New(auth.Config{None: true})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *httpapi.Config) { c.Auth = door }
}

// byHand runs what somebody types in a directory of files, with real curl, and returns
// what it wrote.
func byHand(t *testing.T, commands string, files map[string]string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	for file, body := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euc", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestZ12UploadHalfByCurl(t *testing.T) {
	w := newWorld(t, open(t))
	const commands = `
id=$(curl --silent --fail $API/artifacts --json '{"name":"shop-1.0","content_type":"application/octet-stream"}' | jq --exit-status --raw-output .id)
curl --silent --fail $API/artifacts/$id/upload -H 'Content-Type: application/octet-stream' --data-binary @shop
curl --silent --fail $API/artifacts/$id
curl --silent --fail $API/artifacts
curl --silent --fail $API/artifacts/$id/download | cmp - shop
curl --silent --fail $API/apps/$APP/deployments --json '{"process_type":"tish","replicas":1,"artifact_id":"'$id'"}'`
	out := byHand(t, commands, map[string]string{"shop": strings.Repeat("\x7fELF", 5000)}, "API=http://"+w.addr+"/api/v1", "APP="+w.app("shop"))
	req := w.deploys.last()
	if req.ArtifactID == "" || req.Runtime != "binary" || !strings.Contains(out, `"preview_url"`) || !strings.Contains(out, `"size":20000`) {
		t.Errorf("got %+v\n%s", req, out)
	}
}

func TestR1R5R6R7ByCurl(t *testing.T) {
	w := newWorld(t, open(t))
	files := map[string]string{"manifest.json": site, "app.tar": archive(t, "tar", map[string]string{"index.html": "<p>hi"})}
	const commands = `
curl -sF manifest=@manifest.json -F files=@app.tar $DEPLOY; echo
curl -sH 'Content-Type: application/json' -d '{"ports":[8080],"image":"'$IMAGE'","runtime":"image","name":"test"}' $DEPLOY; echo
curl -sF files=@app.tar $DEPLOY; echo
curl -sF files=@app.tar -F 'manifest={"name":' $DEPLOY; echo`
	out := byHand(t, commands, files, "DEPLOY=http://"+w.addr+"/deploy", "IMAGE=registry.example/app:1")
	answers := slices.DeleteFunc(strings.Split(out, "\n"), func(line string) bool { return line == "" })
	if len(answers) != 4 {
		t.Fatalf("got %d answers\n%s", len(answers), out)
	}
	for i, says := range [][]string{
		{`"status":"succeeded"`, `"app":"site"`},
		{`"status":"succeeded"`, `"app":"test"`},
		{`"status":400`, "deploy.manifest_missing", "manifest"},
		{`"status":400`, "json.malformed", "line 1", "column"},
	} {
		for _, text := range says {
			if !strings.Contains(answers[i], text) {
				t.Errorf("answer %d does not say %q: %s", i+1, text, answers[i])
			}
		}
	}
	if n := w.deploys.count(); n != 2 {
		t.Errorf("%d deployments", n)
	}
}
