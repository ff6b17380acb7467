package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

const sourcesDir = "e2e/testdata/sources/"

// builder starts a provider that builds from the repositories of the test, for
// anybody on this machine.
func builder(t *testing.T, flags ...string) *door {
	t.Helper()
	return builderIn(t, harness.New(t), flags...)
}

// builderIn is builder in a world with more in it.
func builderIn(t *testing.T, w *harness.World, flags ...string) *door {
	t.Helper()
	bases := harness.Bases(t)
	repos := w.Path("repos")
	if err := os.Mkdir(repos, 0o755); err != nil {
		t.Fatal(err)
	}
	p := w.Provider("provider", append([]string{"--storage-size", "1Gi", "--build-disk", "512Mi", "--build-cache", "256Mi", "--bases", bases, "--git-allow-file", repos, "--api-auth", "none"}, flags...)...)
	w.Write("home/.curlrc", "silent\nshow-error\nnoproxy = *\n")
	d := &door{Provider: p, w: w, dir: repos}
	d.env = []string{"API=http://" + p.Info.API, "BASE=http://" + p.Info.API, "INGRESS=http://" + p.Info.Ingress}
	return d
}

// deploySource asks for an app of a commit, in the older form of a deploy.
func (d *door) deploySource(t *testing.T, name, dir, ref string) map[string]any {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"name": name, "source": "file://" + dir, "ref": ref, "port": 8080, "resources": map[string]string{"cpu": "200m", "memory": "128Mi"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return object(t, d.sh(`curl -X POST $API/deploy -H 'Content-Type: application/json' -d "$BODY"`, "BODY="+string(body)))
}

// app asks an app by its host.
func (d *door) app(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return d.sh(`curl -w ' %{http_code}' -H "Host: $HOST" $INGRESS/`, "HOST="+host)
}

// staticServer is a program that needs nothing beside it.
func staticServer(t *testing.T, w *harness.World) string {
	t.Helper()
	b, err := os.ReadFile(w.App())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wheelOf is a wheel of one module (PEP 427).
func wheelOf(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info, record := name+"-1.0.dist-info/", ""
	files := [][2]string{
		{name + ".py", text},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
	for _, f := range files {
		sum := sha256.Sum256([]byte(f[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	for _, f := range append(files, [2]string{info + "RECORD", record + info + "RECORD,,\n"}) {
		out, err := z.Create(f[0])
		if err == nil {
			_, err = out.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBuildsFromCommits deploys commits of each kind, and asks the apps through the
// ingress (I3, I4, I5). The same commit gives the same image, also from another copy of
// the repository and to a provider with another locale and time zone (I6).
func TestBuildsFromCommits(t *testing.T) {
	d := builder(t)
	defer d.clean(t)
	server := staticServer(t, d.w)
	made := map[string]map[string]any{}
	for _, app := range []struct {
		name, from string
		more       map[string]string
		want       string
		runtime    string
	}{
		{"site", sourcesDir + "site", nil, "hello from a site", ""},
		{"plain", sourcesDir + "plain", nil, "hello from python", "python image oci:python@sha256:"},
		{"flask", sourcesDir + "flask", nil, "hello from flask", "packages in /app/vendor"},
		{"wheels", sourcesDir + "plain", map[string]string{
			"wheels/greeting-1.0-py3-none-any.whl": wheelOf(t, "greeting", "word = b'hello from a wheel'\n"),
			"main.py": "import os, greeting\nfrom http.server import *\nclass H(BaseHTTPRequestHandler):\n    def do_GET(self):\n" +
				"        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(greeting.word)\nHTTPServer(('', int(os.environ['PORT'])), H).serve_forever()\n",
		}, "hello from a wheel", "1 wheels in wheels"},
		// Most Procfiles name $PORT, which takes a shell.
		{"procfile", "", map[string]string{
			"Procfile": "web: exec python serve.py --port $PORT\n",
			"serve.py": "import sys\nfrom http.server import *\nclass H(BaseHTTPRequestHandler):\n    def do_GET(self):\n" +
				"        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'hello from a process')\nHTTPServer(('', int(sys.argv[2])), H).serve_forever()\n",
		}, "hello from a process", "Procfile has the process web"},
		{"node", sourcesDir + "node", nil, "hello from node", "node image oci:node@sha256:"},
		{"go", sourcesDir + "go", nil, "hello from go", "compiled by go1."},
		{"docker", "", map[string]string{
			"Dockerfile": "FROM scratch\nCOPY server /server\nEXPOSE 8080\nENV GREETING=hello-from-docker\nUSER 65532:65532\nENTRYPOINT [\"/server\"]\n", "server": server,
		}, "hello-from-docker", "building Dockerfile"},
	} {
		t.Run(app.name, func(t *testing.T) {
			dir, commit := d.w.Repository("repos/"+app.name, app.from, app.more)
			first := d.deploySource(t, app.name, dir, "main")
			if first["status"] != "succeeded" {
				t.Fatalf("got %v", first)
			}
			from := first["source"].(map[string]any)
			if from["commit_sha"] != commit || from["type"] != "git" || from["repository"] != "file://"+dir {
				t.Errorf("the source is %v, want %s", from, commit)
			}
			if got := d.app(first["url"].(string)); !strings.Contains(got, app.want) || !strings.HasSuffix(got, " 200") {
				t.Errorf("it answers %q", got)
			}
			if why := fmt.Sprint(first["entry"]); !strings.Contains(why, app.runtime) {
				t.Errorf("the reasons are %s", why)
			}
			// The same commit a second time, by its id.
			second := d.deploySource(t, app.name, dir, commit)
			if second["status"] != "succeeded" || second["image_digest"] != first["image_digest"] || second["build_id"] == first["build_id"] {
				t.Errorf("%v was %v: %v", second["image_digest"], first["image_digest"], second)
			}
			made[dir] = first
		})
	}
	// The copies take the place of the apps, for which alone there is room.
	d.clean(t)
	d.Stop()
	d.Env = []string{"LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", "TZ=Pacific/Kiritimati"}
	d.Start()
	d.env = []string{"API=http://" + d.Info.API, "BASE=http://" + d.Info.API, "INGRESS=http://" + d.Info.Ingress}
	for dir, first := range made {
		name := fmt.Sprint(first["app"])
		copied := d.w.Path("repos", "copy-"+name)
		// Without -p the files are as new as the copy.
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", dir, copied).CombinedOutput(); err != nil {
			t.Fatalf("copying %s: %v\n%s", dir, err, out)
		}
		again := d.deploySource(t, "copy-"+name, copied, "main")
		if again["status"] != "succeeded" || again["image_digest"] != first["image_digest"] {
			t.Errorf("%s: %v was %v: %v", name, again["image_digest"], first["image_digest"], again)
		}
	}
}

// TestBuildRefusals: what cannot be built or must not be fetched is told, with the reason
// of each, and a build without a network has none.
func TestBuildRefusals(t *testing.T) {
	d := builder(t, "--build-egress", "off")
	defer d.clean(t)
	outside, _ := d.w.Repository("elsewhere/repo", sourcesDir+"site", nil)
	d.w.Repository("repos/empty", "", map[string]string{"README": "nothing to run"})
	d.w.Repository("repos/broken", sourcesDir+"go", map[string]string{"main.go": "package main\n\nfunc main() { undefined() }\n"})
	d.w.Repository("repos/online", "", map[string]string{"Dockerfile": "FROM scratch\nADD https://example.org/ /x\n"})
	for dir, want := range map[string]string{
		outside:                  "git.",
		d.w.Path("repos/none"):   "git.",
		d.w.Path("repos/empty"):  "entrypoint.not_found",
		d.w.Path("repos/broken"): "build.command",
		d.w.Path("repos/online"): "build.command",
	} {
		got := d.deploySource(t, "refused", dir, "main")
		if text := fmt.Sprint(got); !strings.Contains(text, "code:"+want) || got["status"] == "succeeded" {
			t.Errorf("%s: %v", dir, got)
		}
	}
}

// python is Debian's, which has the package requests.
const python = "/usr/bin/python3"

// TestZ12Builds makes the calls of scripts that build an upload, poll, and deploy what
// came out: with curl and jq, and with Python's requests.
func TestZ12Builds(t *testing.T) {
	d := builder(t)
	defer d.clean(t)
	made := object(t, d.sh(`curl -f -X POST $API/api/v1/apps -H 'Content-Type: application/json' -d '{"name":"uploaded"}'`))
	id := "APP=" + made["id"].(string)
	d.w.Write("repos/up/index.html", "<h1>uploaded</h1>")
	got := d.sh(`
tar czf project.tar.gz -C up .
id=$(curl -f -X POST $API/api/v1/builds -F 'metadata={"app_id":"'$APP'","features":["full"]}' -F "project=@project.tar.gz" | jq -re .id)
for n in $(seq 600); do
  build=$(curl -f $API/api/v1/builds/$id)
  case $(jq -r .status <<<"$build") in succeeded) break ;; failed) echo "$build"; exit 1 ;; esac
  sleep 0.1
done
jq -re .artifact_id <<<"$build"`, id)
	if len(strings.TrimSpace(got)) != 36 {
		t.Fatalf("the artifact is %q", got)
	}
	script := d.w.Write("poll.py", `
import sys, time, requests
base, app, tar = sys.argv[1:]
session = requests.Session()
session.trust_env = False
with open(tar, "rb") as project:
    answer = session.post(base + "/api/v1/builds", files={
        "metadata": (None, '{"app_id": "%s", "features": ["full"]}' % app),
        "project": ("project.tar.gz", project, "application/gzip"),
    })
answer.raise_for_status()
for _ in range(600):
    build = session.get(base + "/api/v1/builds/" + answer.json()["id"]).json()
    if build["status"] in ("succeeded", "failed"):
        break
    time.sleep(0.1)
assert build["status"] == "succeeded", build
answer = session.post(base + "/api/v1/apps/" + app + "/deployments", json={"artifact_id": build["artifact_id"], "process_type": "tish", "replicas": 1})
answer.raise_for_status()
print(answer.json()["id"])
`)
	out, err := exec.CommandContext(t.Context(), python, script, "http://"+d.Info.API, made["id"].(string), d.w.Path("repos/project.tar.gz")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	deployed := object(t, d.sh(`curl -f "$API/api/v1/deployments/$ID/wait?timeout=60s"`, "ID="+strings.TrimSpace(string(out))))
	if deployed["status"] != "succeeded" {
		t.Fatalf("got %v", deployed)
	}
	if got := d.app(deployed["url"].(string)); got != "<h1>uploaded</h1> 200" {
		t.Errorf("it answers %q", got)
	}
}
