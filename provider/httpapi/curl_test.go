package httpapi_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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

// script runs an example as it stands, with real curl, and returns what it wrote.
func script(t *testing.T, name string, files map[string]string, env ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, body := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", path)
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
	out := script(t, "artifact-upload-deploy.sh", map[string]string{"my-app": strings.Repeat("\x7fELF", 5000)}, "BASE=http://"+w.addr, "APP_ID="+w.app("shop"))
	req := w.deploys.last()
	if req.ArtifactID == "" || req.Runtime != "binary" || !strings.Contains(out, `"preview_url"`) || !strings.Contains(out, `"size":20000`) {
		t.Errorf("got %+v\n%s", req, out)
	}
}

func TestR1R5R6R7ByCurl(t *testing.T) {
	w := newWorld(t, open(t))
	files := map[string]string{"manifest.json": site, "app.tar": archive(t, "tar", map[string]string{"index.html": "<p>hi"})}
	out := script(t, "rfc0008.sh", files, "INGRESS=http://"+w.addr, "IMAGE=registry.example/app:1")
	answers := strings.Split(strings.TrimSpace(out), "\n")
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
