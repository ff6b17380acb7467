package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apocryph/e2e/harness"
)

// packages are the purls of what a build made, by its bill of materials, and the
// dependencies that its statement names.
func (d *door) packages(t *testing.T, build string) (purls []string, statement string) {
	t.Helper()
	bill := object(t, d.sh(`curl -f $API/api/v1/builds/$ID/sbom`, "ID="+build))
	all, _ := bill["components"].([]any)
	for _, c := range all {
		if purl, ok := c.(map[string]any)["purl"].(string); ok {
			purls = append(purls, purl)
		}
	}
	envelope := object(t, d.sh(`curl -f $API/api/v1/builds/$ID/provenance`, "ID="+build))
	payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return purls, string(payload)
}

// deployTwice deploys a commit twice, and asks the app: the image is the same.
func (d *door) deployTwice(t *testing.T, name string, files map[string]string, want string, purls ...string) map[string]any {
	t.Helper()
	dir, commit := d.w.Repository("repos/"+name, "", files)
	first := d.deploySource(t, name, dir, "main")
	if first["status"] != "succeeded" {
		t.Fatalf("%s: got %v", name, first)
	}
	if got := d.app(first["url"].(string)); got != want+" 200" {
		t.Errorf("%s answers %q, want %q", name, got, want)
	}
	second := d.deploySource(t, name, dir, commit)
	if second["status"] != "succeeded" || second["image_digest"] != first["image_digest"] || second["build_id"] == first["build_id"] {
		t.Errorf("%s: %v was %v: %v", name, second["image_digest"], first["image_digest"], second)
	}
	have, statement := d.packages(t, first["build_id"].(string))
	for _, purl := range purls {
		if !slices.Contains(have, purl) {
			t.Errorf("%s: the bill of materials lacks %s: %v", name, purl, have)
		}
		if !strings.Contains(statement, purl) {
			t.Errorf("%s: the statement lacks %s: %s", name, purl, statement)
		}
	}
	return first
}

// TestIndexes: what lock files name is downloaded in build pods, from indexes in the
// internet, and nothing else is.
func TestIndexes(t *testing.T) {
	net := harness.NewInternet(t)
	x := newIndexes(t)
	d := builder(t, environment(net.Serve(x.pypi), net.Serve(x.registry), net.Serve(x.proxy))...)
	defer d.clean(t)
	asked := func(t *testing.T, a *asked, want string, not ...string) {
		t.Helper()
		if a.times(want) == 0 {
			t.Errorf("the index was not asked for %s", want)
		}
		for _, text := range not {
			if n := a.times(text); n > 0 {
				t.Errorf("it was asked %d times for %s", n, text)
			}
		}
	}
	for _, kind := range []string{"html", "json"} {
		t.Run("python "+kind, func(t *testing.T) {
			x.pypi.json = kind == "json"
			got := d.deployTwice(t, "python-"+kind, x.files["python"], "hello the index", "pkg:pypi/greeting@1.0", "pkg:pypi/whom-to@1.0")
			if why := fmt.Sprint(got["entry"]); !strings.Contains(why, "2 projects by the hashes in requirements.txt") {
				t.Errorf("the reasons are %s", why)
			}
			asked(t, &x.pypi.asked, "greeting-1.0-py3", "unwanted", "win32", "2.0")
		})
	}
	greets, whom := "greeting-1.0-py3-none-any.whl", "whom_to-1.0-py3-none-any.whl"
	sums := []any{sha256Of(x.pypi.wheels[greets]), sha256Of(x.pypi.wheels[whom])}
	for file, lock := range map[string]string{
		"pylock.toml": `lock-version = "1.0"
[[packages]]
name = "greeting"
version = "1.0"
wheels = [{name = "greeting-1.0-py3-none-any.whl", hashes = {sha256 = "%s"}}]
[[packages]]
name = "whom-to"
version = "1.0"
wheels = [{name = "whom_to-1.0-py3-none-any.whl", hashes = {sha256 = "%s"}}]
`,
		// Nothing but the project says that it needs greeting, which needs whom-to.
		"uv.lock": `version = 1
revision = 3
[[package]]
name = "app"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "greeting" }]
[package.dev-dependencies]
dev = [{ name = "unwanted" }]
[[package]]
name = "greeting"
version = "1.0"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "whom-to", marker = "python_full_version >= '3.9'" }, { name = "only-windows", marker = "sys_platform == 'win32'" }]
wheels = [{ url = "https://index.example/greeting-1.0-py3-none-any.whl", hash = "sha256:%[1]s", size = 1 }]
[[package]]
name = "only-windows"
version = "1.0"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://index.example/only_windows-1.0-py3-none-any.whl", hash = "sha256:%[1]s", size = 1 }]
[[package]]
name = "unwanted"
version = "1.0"
source = { registry = "https://index.example/simple" }
[[package]]
name = "whom-to"
version = "1.0"
source = { registry = "https://index.example/simple" }
wheels = [{ url = "https://index.example/whom_to-1.0-py3-none-any.whl", hash = "sha256:%[2]s", size = 1 }]
`,
	} {
		t.Run(file, func(t *testing.T) {
			got := d.deployTwice(t, strings.ReplaceAll(file, ".", "-"), map[string]string{
				"main.py": greeter, file: fmt.Sprintf(lock, sums...), "pyproject.toml": "[project]\nname = 'app'\nversion = '1'\ndependencies = ['greeting']\n",
			}, "hello the index", "pkg:pypi/greeting@1.0", "pkg:pypi/whom-to@1.0")
			if why := fmt.Sprint(got["entry"]); !strings.Contains(why, "projects by the hashes in "+file) {
				t.Errorf("the reasons are %s", why)
			}
		})
	}
	t.Run("node", func(t *testing.T) {
		d.deployTwice(t, "node", x.files["node"], "hello the registry", "pkg:npm/greeting@1.2.3", "pkg:npm/%40acme/whom@0.1.0")
		asked(t, &x.registry.asked, "greeting-1.2.3.tgz", "only-tested", "of-mac")
	})
	t.Run("go", func(t *testing.T) {
		d.deployTwice(t, "go", x.files["go"], "hello the proxy", "pkg:golang/example.org/greeting@v1.2.3")
		if n := x.proxy.times("v1.2.3.zip"); n != 1 {
			t.Errorf("the module was downloaded %d times: the second build has it in its cache", n)
		}
	})
	other := sha256Of("another")
	have := integrityOf(x.registry.tarballs["greeting/-/greeting-1.2.3.tgz"])
	lock, goSums := x.files["node"]["package-lock.json"], x.files["go"]["go.sum"]
	for _, tt := range []struct {
		name, app string
		more      map[string]string
		code      string
		want      []string
	}{
		{"wheel with another hash", "python", map[string]string{"requirements.txt": "greeting==1.0 --hash=sha256:" + other + "\n"}, "build.lock", []string{"greeting==1.0: what the index has is not", other}},
		{"no such project", "python", map[string]string{"requirements.txt": "absent==1.0 --hash=sha256:" + other + "\n"}, "build.lock", []string{"absent==1.0: the index has no such file"}},
		{"no such wheel", "python", map[string]string{"requirements.txt": "greeting==3.0 --hash=sha256:" + other + "\n"}, "build.lock", []string{"greeting==3.0: the index has no such file"}},
		{"archive with another hash", "node", map[string]string{"package-lock.json": strings.Replace(lock, have, integrityOf("another"), 1)}, "build.lock", []string{"greeting-1.2.3.tgz: what the index has is not"}},
		{"no such archive", "node", map[string]string{"package-lock.json": strings.ReplaceAll(lock, "0.1.0", "0.1.1")}, "build.lock", []string{"whom-0.1.1.tgz: the index has no such file"}},
		{"module with another hash", "go", map[string]string{"go.sum": strings.Replace(goSums, "h1:", "h1:AAAA", 1)}, "build.lock", []string{"example.org/greeting@v1.2.3: what the index has is not"}},
		{"module without a hash", "go", map[string]string{"go.sum": ""}, "build.lock", []string{"go.sum has no hash for example.org/greeting"}},
		{"no such module", "go", map[string]string{"go.mod": strings.Replace(x.files["go"]["go.mod"], "v1.2.3", "v1.2.4", 1), "go.sum": strings.ReplaceAll(goSums, "v1.2.3", "v1.2.4")}, "build.lock", []string{"v1.2.4", "the index has no such file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, _ := d.w.Repository("repos/"+strings.ReplaceAll(tt.name, " ", "-"), "", x.with(tt.app, tt.more))
			text := fmt.Sprint(d.deploySource(t, "refused", dir, "main"))
			for _, want := range append(tt.want, "code:"+tt.code) {
				if !strings.Contains(text, want) {
					t.Errorf("it lacks %q: %s", want, text)
				}
			}
		})
	}
}

// TestIndexesDown: an index that is not there, one that never answers, and a provider
// whose builds reach none, are each told as what they are, and soon.
func TestIndexesDown(t *testing.T) {
	net := harness.NewInternet(t)
	x := newIndexes(t)
	// deploy deploys each app at once, and returns what is told of it.
	deploy := func(t *testing.T, flags []string, apps ...string) map[string]string {
		t.Helper()
		d := builder(t, flags...)
		defer d.clean(t)
		out := make([]string, len(apps))
		var wg sync.WaitGroup
		for i, app := range apps {
			dir, _ := d.w.Repository("repos/"+app, "", x.files[app])
			wg.Go(func() {
				began := time.Now()
				out[i] = fmt.Sprint(d.deploySource(t, app, dir, "main"))
				t.Logf("%s is refused after %s", app, time.Since(began))
			})
		}
		wg.Wait()
		told := map[string]string{}
		for i, app := range apps {
			told[app] = out[i]
		}
		return told
	}
	wants := func(t *testing.T, told map[string]string, app string, want ...string) {
		t.Helper()
		for _, text := range want {
			if !strings.Contains(told[app], text) {
				t.Errorf("%s: it lacks %q: %s", app, text, told[app])
			}
		}
	}
	t.Run("closed", func(t *testing.T) {
		closed := net.Closed()
		told := deploy(t, environment(closed, closed, closed), "python", "node", "go")
		wants(t, told, "python", "code:build.index", "packages cannot be downloaded: "+closed+"/simple/", "Connection refused")
		wants(t, told, "node", "code:build.index", "packages cannot be downloaded: "+closed+"/npm/", "ECONNREFUSED")
		wants(t, told, "go", "code:build.index", "packages cannot be downloaded: "+closed+"/go/", "connection refused")
	})
	t.Run("silent", func(t *testing.T) {
		silent := net.Silent()
		told := deploy(t, append(environment(silent, silent, silent), "--build-workers", "3", "--build-time", "75s"), "python", "node", "go")
		wants(t, told, "python", "code:build.index", silent, "Read timed out")
		wants(t, told, "node", "code:build.index", silent, "nothing for 15 s")
		// The go command waits for as long as it may.
		wants(t, told, "go", "code:build.time", "stopped after 1m15s")
	})
	t.Run("no egress", func(t *testing.T) {
		url := net.Serve(http.NotFoundHandler())
		told := deploy(t, append(environment(url, url, url), "--build-egress", "off"), "python", "node", "go")
		for app, what := range map[string]string{"python": "requirements.txt", "node": "package-lock.json", "go": "go.mod"} {
			wants(t, told, app, "code:build.egress", "what "+what+" names would be downloaded, and builds of this provider reach no network")
		}
	})
}
