package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	fake "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"apocryph/e2e/harness"
)

// answering is a Python program that answers with what a file has.
const answering = `import os
from http.server import *
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open('/made', 'rb').read())
HTTPServer(('', int(os.environ['PORT'])), H).serve_forever()
`

// making is a Dockerfile that makes what answering answers with, on a base.
func making(base, text string) string {
	return "FROM " + base + `
USER 0
RUN ["python3", "-c", "open('/made', 'w').write('` + text + `')"]
COPY serve.py /app/serve.py
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python3", "/app/serve.py"]
`
}

// made deploys a commit, asks the app, and returns the deployment.
func (d *door) made(t *testing.T, name string, files map[string]string, want string) map[string]any {
	t.Helper()
	dir, _ := d.w.Repository("repos/"+name, "", files)
	got := d.deploySource(t, name, dir, "main")
	if got["status"] != "succeeded" {
		t.Fatalf("got %v", got)
	}
	if text := d.app(got["url"].(string)); text != want+" 200" {
		t.Errorf("it answers %q", text)
	}
	return got
}

// refused deploys a commit of a Dockerfile that is not built, and holds the answer to texts.
func (d *door) refused(t *testing.T, name, dockerfile string, want ...string) {
	t.Helper()
	dir, _ := d.w.Repository("repos/"+name, "", map[string]string{"Dockerfile": dockerfile})
	got := d.deploySource(t, "refused", dir, "main")
	if got["status"] == "succeeded" {
		t.Errorf("%s is built", name)
	}
	for _, text := range want {
		if !strings.Contains(fmt.Sprint(got), text) {
			t.Errorf("%s: %v lacks %q", name, got, text)
		}
	}
}

// TestDockerfileRuns builds on the operator's base image, with commands, stages and a
// user, where builds have no network; and a commit twice, to the same bytes. Of the files that a command
// has from its build pod (/etc/hosts and the like), a layer has at most the empty places.
func TestDockerfileRuns(t *testing.T) {
	d := builder(t, "--build-egress", "off")
	defer d.clean(t)
	dir, _ := d.w.Repository("repos/runs", "", map[string]string{
		"serve.py": answering,
		"Dockerfile": `ARG BASE=localhost/python
FROM $BASE AS made
USER 0
RUN ["python3", "-c", "import sys, os; print('made by', sys.version_info.major, os.getuid()); open('/made', 'w').write('made in a stage')"]
FROM localhost/python AS compared
USER 0
COPY --from=made / /made
COPY --from=localhost/python / /base
RUN ["python3", "-c", "import os; tree = lambda d: {os.path.join(p, n)[5:] for p, ds, fs in os.walk(d) for n in ds + fs}; left = sorted(tree('/made') ^ tree('/base')); print('left', [n for n in left if os.path.getsize('/made' + n)])"]
FROM localhost/python
USER 0
COPY --from=made /made /made
COPY serve.py /app/serve.py
RUN ["python3", "-c", "import os; os.chmod('/made', 0o644); os.mkdir('/empty')"]
RUN --mount=type=bind,from=compared,source=/base,target=/mnt ["python3", "-c", "import os; print('mounted', 'usr' in os.listdir('/mnt'))"]
USER 65532:65532
RUN ["python3", "-c", "import os; print('user', os.getuid(), os.getgid()); open('/tmp/x', 'w')"]
RUN test -f /tmp/x && echo "by a shell"
EXPOSE 8080
ENV PORT=8080
CMD exec python3 /app/serve.py
`,
	})
	first := d.deploySource(t, "runs", dir, "main")
	if first["status"] != "succeeded" {
		t.Fatalf("got %v", first)
	}
	if got := d.app(first["url"].(string)); got != "made in a stage 200" {
		t.Errorf("it answers %q", got)
	}
	log := d.sh(`curl -f $API/api/v1/builds/$ID/logs`, "ID="+first["build_id"].(string))
	for _, line := range []string{"made by 3 0", "user 65532 65532", "mounted True", "left ['/made']", "by a shell"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	if why := fmt.Sprint(first["entry"]); !strings.Contains(why, "line 2: localhost/python is oci:python@sha256:") {
		t.Errorf("the reasons are %s", why)
	}
	// A small one, a second time by its commit.
	small, commit := d.w.Repository("repos/small", "", map[string]string{"serve.py": answering, "Dockerfile": making("localhost/python", "made twice")})
	one, two := d.deploySource(t, "small", small, "main"), d.deploySource(t, "small", small, commit)
	if two["status"] != "succeeded" || one["image_digest"] == nil || two["image_digest"] != one["image_digest"] || two["build_id"] == one["build_id"] {
		t.Errorf("%v was %v: %v", two["image_digest"], one["image_digest"], two)
	}
}

// TestDockerfileFails: a command that fails, an image that cannot be had, and what is not
// built here are told, with what the command wrote and with lines.
func TestDockerfileFails(t *testing.T) {
	d := builder(t, "--build-egress", "off")
	defer d.clean(t)
	var came atomic.Int32
	neighbour := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	defer neighbour.Close()
	host := strings.TrimPrefix(neighbour.URL, "http://")
	d.refused(t, "exits", "FROM localhost/python\nRUN [\"python3\", \"-c\", \"print('this is why'); raise SystemExit(3)\"]\n", "build.command", "this is why", "exit status 3")
	d.refused(t, "private", "FROM scratch\nCOPY --from="+host+"/tool:1 / /\n", "build.image", "line 2", "private network")
	d.refused(t, "ruby", "FROM localhost/ruby\n", "build.image", "line 1", "python")
	d.refused(t, "heredoc", "FROM localhost/python\nRUN <<END\nx\nEND\n", "build.dockerfile", "line 2", "heredoc")
	d.refused(t, "argument", "ARG V\nFROM python:$V\n", "build.dockerfile", "line 2", "ARG V")
	d.refused(t, "platform", "FROM --platform=linux/riscv64 localhost/python\n", "build.dockerfile", "line 1", "linux/riscv64")
	if came.Load() != 0 {
		t.Error("a neighbour of the provider was asked")
	}
}

// registryOf serves the base image for Python as HOST/python:1, and returns the host and the
// image's digest.
func registryOf(t *testing.T) (host, digest string) {
	t.Helper()
	s := httptest.NewServer(fake.New(fake.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host = strings.TrimPrefix(s.URL, "http://")
	dir := filepath.Join(harness.Bases(t), "python")
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/python:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return host, list.Manifests[0].Digest.String()
}

// TestDockerfileFromRegistry builds on an image of a registry, which the provider reads and the
// build does not reach: as the operator's base, and as what FROM names.
func TestDockerfileFromRegistry(t *testing.T) {
	host, digest := registryOf(t)
	d := builder(t, "--build-egress", "off", "--registry-allow-host", host, "--base", "python="+host+"/python@"+digest)
	defer d.clean(t)
	got := d.made(t, "named", map[string]string{"serve.py": answering, "Dockerfile": making(host+"/python:1", "on a tag")}, "on a tag")
	if why := fmt.Sprint(got["entry"]); !strings.Contains(why, "line 1: "+host+"/python:1 is "+host+"/python:1@"+digest) {
		t.Errorf("the reasons are %s", why)
	}
	got = d.made(t, "own", map[string]string{"serve.py": answering, "Dockerfile": making("localhost/python", "on the base")}, "on the base")
	if why := fmt.Sprint(got["entry"]); !strings.Contains(why, "localhost/python is "+host+"/python@"+digest) {
		t.Errorf("the reasons are %s", why)
	}
	d.refused(t, "missing", "FROM "+host+"/python:2\n", "build.image", "line 1", "the registry has no")
}

// TestBaseFromIPFS builds on a base that another node publishes: Python as it is, and by a
// Dockerfile.
func TestBaseFromIPFS(t *testing.T) {
	w := harness.New(t)
	it := serve(t, w.Publisher("distributor"), "oci:"+filepath.Join(harness.Bases(t), "python"), "--plain", "--public")
	d := builderIn(t, w, "--build-egress", "off", "--bootstrap", it.Addrs[0], "--base", "python=ipfs:"+it.CID)
	defer d.clean(t)
	dir, _ := w.Repository("repos/plain", sourcesDir+"plain", nil)
	got := d.deploySource(t, "plain", dir, "main")
	if why := fmt.Sprint(got["entry"]); got["status"] != "succeeded" || !strings.Contains(why, "ipfs:"+it.CID) {
		t.Fatalf("got %v", got)
	}
	if text := d.app(got["url"].(string)); !strings.HasPrefix(text, "hello from python") {
		t.Errorf("it answers %q", text)
	}
	got = d.made(t, "docker", map[string]string{"serve.py": answering, "Dockerfile": making("localhost/python", "on a CID")}, "on a CID")
	if why := fmt.Sprint(got["entry"]); !strings.Contains(why, "localhost/python is ipfs:"+it.CID) {
		t.Errorf("the reasons are %s", why)
	}
}

// TestDockerfileProvenance: what a Dockerfile is built on is in the statement, which users see
// and policies decide on.
func TestDockerfileProvenance(t *testing.T) {
	repos := t.TempDir()
	host, digest := registryOf(t)
	d := openDoor(t, "deploy:*", "--git-allow-file", repos, "--storage-size", "1Gi", "--build-disk", "512Mi", "--build-cache", "256Mi", "--bases", harness.Bases(t), "--registry-allow-host", host)
	defer d.clean(t)
	up := newUpstream(t, repos, "docker")
	d.dir = repos
	for name, text := range map[string]string{"serve.py": answering, "Dockerfile": making(host+"/python:1", "proved")} {
		if err := os.WriteFile(filepath.Join(up.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	up.run("git", "add", "-A")
	up.commit("beside", "")
	got := object(t, d.sh(fmt.Sprintf(`curl -H 'Content-Type: application/json' -d '{"name":"docker","runtime":"dockerfile","source":%q,"ref":"main","port":8080}' $API/deploy`, up.url())))
	if got["url"] == nil {
		t.Fatalf("got %v", got)
	}
	address := got["url"].(string)
	user := d.w.Publisher("user")
	base, err := os.ReadFile(user.Policy(d.Provider))
	if err != nil {
		t.Fatal(err)
	}
	builder, err := os.ReadFile(filepath.Join(harness.Bases(t), "dockerfile.digest"))
	if err != nil {
		t.Fatal(err)
	}
	policy := func(name string, digests ...string) string {
		return d.w.Write(name, string(base)+"provenance:\n  required: true\n  base_images: ["+strings.Join(digests, ", ")+"]\n")
	}
	r := user.Must(d.verify(address, policy("both.yaml", digest, strings.TrimSpace(string(builder))))...)
	for _, text := range []string{"on image:" + host + "/python:1 " + digest, "on base:dockerfile " + strings.TrimSpace(string(builder))} {
		if !strings.Contains(r.Stdout, text) {
			t.Errorf("the chain lacks %q:\n%s", text, r.Stdout)
		}
	}
	shown := user.Must(append(d.verify(address, d.w.Path("both.yaml")), "--json")...).Object(t)["running"].(map[string]any)["builds"].([]any)[0].(map[string]any)["base_images"]
	if text := fmt.Sprint(shown); !strings.Contains(text, "digest:"+digest) || !strings.Contains(text, "name:image:"+host+"/python:1") {
		t.Errorf("got %v", shown)
	}
	user.Fails(12, []string{"ATT-123", host + "/python:1"}, d.verify(address, policy("other.yaml", strings.TrimSpace(string(builder))))...)
}
