package httpapi_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/source"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

// A part of a form, with the headers that curl 8 sends for it.
type part struct{ header, body string }

// asFile is `curl -F NAME=@FILE`, asValue is `curl -F NAME=TEXT`.
func asFile(name, file, body string) part {
	return part{fmt.Sprintf("Content-Disposition: form-data; name=%q; filename=%q\r\nContent-Type: application/octet-stream\r\n", name, file), body}
}

func asValue(name, body string) part {
	return part{fmt.Sprintf("Content-Disposition: form-data; name=%q\r\n", name), body}
}

const (
	boundary = "------------------------d74496d66958873e"
	formType = "Content-Type: multipart/form-data; boundary=" + boundary
)

func form(parts ...part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n" + p.header + "\r\n" + p.body + "\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.String()
}

const site = `{"name":"site","runtime":"static","ports":[8080]}`

func TestR1MultipartDeploy(t *testing.T) {
	w := newWorld(t)
	for name, manifest := range map[string]part{"as a file": asFile("manifest", "manifest.json", site), "as a value": asValue("manifest", site)} {
		for _, path := range []string{"/deploy", "/api/v1/deployments"} {
			t.Run(name+path, func(t *testing.T) {
				r := w.call("POST", path, form(manifest, asFile("files", "index.html", "<p>hi")), formType).want(t, 201)
				var d deploy.Deployment
				r.json(t, &d)
				if d.Status != deploy.Succeeded || d.App != "site" || d.URL == "" || r.Header.Get("Location") != "/api/v1/deployments/"+d.ID {
					t.Errorf("got %v %s", r.Header, r.body)
				}
				req := w.deploys.last()
				if req.App != "site" || req.Namespace != "default" || req.Runtime != "static" || req.By != "uid:0" {
					t.Errorf("got %+v", req)
				}
				if diff := cmp.Diff([]string{"index.html"}, w.deploys.files); diff != "" {
					t.Error(diff)
				}
				if r.Header.Get("Deprecation") != "" {
					t.Error("the canonical form is not deprecated")
				}
			})
		}
	}
}

// archive is an archive of a kind, with the given files.
func archive(t *testing.T, kind string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	if kind == "zip" {
		z := zip.NewWriter(&b)
		for name, body := range files {
			f, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(f, body); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var out io.WriteCloser = nopCloser{&b}
	switch kind {
	case "tar.gz":
		out = gzip.NewWriter(&b)
	case "tar.zst":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		out = z
	}
	a := tar.NewWriter(out)
	for name, body := range files {
		if err := a.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(a, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestR2FilesOfEveryKind(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"a.html": "a", "d/b.html": "b"}
	for _, c := range []struct {
		name  string
		parts []part
		want  []string
	}{
		{"tar", []part{asFile("files", "x", archive(t, "tar", files))}, []string{"a.html", "d/b.html"}},
		// The name lies: what counts is the content.
		{"tar.gz", []part{asFile("files", "app.zip", archive(t, "tar.gz", files))}, []string{"a.html", "d/b.html"}},
		{"tar.zst", []part{asFile("files", "x", archive(t, "tar.zst", files))}, []string{"a.html", "d/b.html"}},
		{"zip", []part{asFile("files", "app.tar", archive(t, "zip", files))}, []string{"a.html", "d/b.html"}},
		{"files", []part{asFile("files", "1.html", "1"), asFile("files", "2.html", "2"), asFile("files", "3.html", "3")}, []string{"1.html", "2.html", "3.html"}},
		{"tar and files", []part{asFile("files", "1.html", "1"), asFile("files", "x", archive(t, "tar", files))}, []string{"1.html", "a.html", "d/b.html"}},
		// curl sends the path that it was given, with -F 'files=@x;filename=../../etc/passwd'.
		{"path in a name", []part{asFile("files", "../../etc/passwd", "root")}, []string{"passwd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.call("POST", "/deploy", form(append(c.parts, asFile("manifest", "m", site))...), formType).want(t, 201)
			if diff := cmp.Diff(c.want, w.deploys.files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestR3RepeatedFiles(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/deploy", form(
		asFile("files", "x", archive(t, "tar", map[string]string{"a": "a"})),
		asValue("manifest", site),
		asFile("files", "y", archive(t, "zip", map[string]string{"b": "b"})),
		asFile("files", "c", "c"),
	), formType).want(t, 201)
	if diff := cmp.Diff([]string{"a", "b", "c"}, w.deploys.files); diff != "" {
		t.Error(diff)
	}
}

func TestR4MissingFields(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ manifest, names string }{
		{`{"runtime":"static"}`, "name"},
		{`{"name":"site","image":"nginx"}`, "runtime"},
		{`{}`, "name"},
		{`{"name":"site","runtime":"cobol"}`, "static"},
		{`{"name":"site","runtime":"static","colour":"red"}`, "colour"},
	} {
		r := w.call("POST", "/deploy", form(asValue("manifest", c.manifest), asFile("files", "a", "a")), formType)
		if r.StatusCode != 400 || !strings.Contains(string(r.body), c.names) {
			t.Errorf("%s: got %d %s", c.manifest, r.StatusCode, r.body)
		}
	}
	for _, runtime := range []string{"static", "binary"} {
		w.call("POST", "/deploy", form(asValue("manifest", `{"name":"site","runtime":"`+runtime+`","ports":[8080]}`)), formType).
			problem(t, 400, "deploy.files_missing", "files", runtime)
	}
	if n := w.deploys.count(); n != 0 {
		t.Errorf("%d deployments were made", n)
	}
}

func TestR5OldJSONForm(t *testing.T) {
	w := newWorld(t)
	body := `{"name":"test","runtime":"image","image":"registry.example/app:1","ports":[8080]}`
	old := w.call("POST", "/deploy", body, jsonType).want(t, 201)
	first := w.deploys.last()
	if got := old.Header.Get("Deprecation"); got != "@1793491200" {
		t.Errorf("Deprecation is %q, which is no date of RFC 9745", got)
	}
	if got := old.Header.Get("Link"); !strings.Contains(got, `rel="deprecation"`) {
		t.Errorf("Link is %q", got)
	}
	canonical := w.call("POST", "/deploy", form(asValue("manifest", body)), formType).want(t, 201)
	second := w.deploys.last()
	first.RequestID, second.RequestID = [16]byte{}, [16]byte{}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the two forms are not one request:\n%s", diff)
	}
	var a, b map[string]any
	old.json(t, &a)
	canonical.json(t, &b)
	for name := range a {
		if _, ok := b[name]; !ok {
			t.Errorf("%s is only in the answer to the old form", name)
		}
	}
	// Files are needed in this form as well.
	w.call("POST", "/deploy", site, jsonType).problem(t, 400, "deploy.files_missing", "files")
}

func TestR6MissingManifest(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/deploy", form(asFile("files", "app.tar", "x")), formType).problem(t, 400, "deploy.manifest_missing", "manifest")
	w.call("POST", "/deploy", form(), formType).want(t, 400)
}

func TestR7MalformedManifest(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, manifest, says string }{
		{"cut off", `{"name":`, "column"},
		{"second line", "{\n \"name\": nope}", "line 2"},
		{"double", `{"name":"a","name":"b","runtime":"static"}`, "name"},
		{"trailing", site + "x", "column"},
		{"type", `{"name":7,"runtime":"static"}`, "/name"},
		{"list", `[]`, "object"},
		{"empty", ``, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range []part{asValue("manifest", c.manifest), asFile("manifest", "manifest.json", c.manifest)} {
				r := w.call("POST", "/deploy", form(p, asFile("files", "app.tar", "x")), formType)
				if r.StatusCode != 400 || !strings.Contains(string(r.body), c.says) {
					t.Errorf("got %d %s, want 400 with %q", r.StatusCode, r.body, c.says)
				}
			}
			r := w.call("POST", "/deploy", c.manifest, jsonType)
			if r.StatusCode != 400 || !strings.Contains(string(r.body), c.says) {
				t.Errorf("the old form: got %d %s", r.StatusCode, r.body)
			}
		})
	}
	big := `{"name":"` + strings.Repeat("a", 256<<10) + `"}`
	w.call("POST", "/deploy", form(asValue("manifest", big)), formType).problem(t, 413, "deploy.manifest_large", "manifest")
	w.call("POST", "/deploy", big, jsonType).problem(t, 413, "http.too_large")
	if n := w.deploys.count(); n != 0 {
		t.Errorf("%d deployments were made", n)
	}
}

// TestR8AnswersWhenItRuns: a call that waits is not answered before the
// deployment has ended, and then by how.
func TestR8AnswersWhenItRuns(t *testing.T) {
	w := newWorld(t)
	w.deploys.gate = make(chan struct{})
	answered := make(chan reply, 1)
	go func() {
		answered <- w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType)
	}()
	eventually(t, "it was submitted", func() bool { return w.deploys.count() == 1 })
	select {
	case r := <-answered:
		t.Fatalf("answered %d before the app ran", r.StatusCode)
	default:
	}
	close(w.deploys.gate)
	(<-answered).want(t, 201)

	w.deploys.failure = &deploy.Failure{Code: "app.exited", Detail: "it exited with 1", Log: []string{"boom"}, Class: status.AppFailed}
	w.deploys.gate = nil
	doc := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType).problem(t, 502, "app.exited", "boom", "logs_tail")
	if id, _ := doc["deployment_id"].(string); id == "" {
		t.Errorf("no deployment in %v", doc)
	}
	w.deploys.failure = &deploy.Failure{Code: "build.lock", Detail: "2 faults", Class: status.InvalidArgument, Faults: []deploy.Fault{{Field: "/a", Got: "this", Want: "that"}, {Field: "/b"}}}
	doc = w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType).problem(t, 400, "build.lock", "that")
	if list, _ := doc["errors"].([]any); len(list) != 2 {
		t.Errorf("got %v", doc["errors"])
	}
	for _, c := range []struct {
		class  status.Code
		reason string
		want   int
	}{
		{status.InvalidArgument, "build.entry", 400},
		{status.ResourceExhausted, "capacity.memory", 503},
		{status.ResourceExhausted, "store.disk_full", 507},
		{status.Internal, "internal", 500},
		{status.Unavailable, "runtime.silent", 503},
		{status.InvalidArgument, "files.too_large", 413},
	} {
		w.deploys.failure = &deploy.Failure{Code: c.reason, Detail: "x", Class: c.class}
		w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType).problem(t, c.want, c.reason)
	}
}

func TestR9DocumentedContract(t *testing.T) {
	w := newWorld(t)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Description string
			RequestBody struct{ Content map[string]any }
		}
	}
	w.call("GET", "/openapi.json", "").want(t, 200).json(t, &doc)
	op := doc.Paths["/deploy"]["post"]
	if doc.OpenAPI != "3.1.0" || op.RequestBody.Content["multipart/form-data"] == nil || op.RequestBody.Content["application/json"] == nil {
		t.Errorf("got %+v", op)
	}
	for _, word := range []string{"manifest", "files", "deprecated", "respond-async", "text/event-stream", "502"} {
		if !strings.Contains(op.Description, word) {
			t.Errorf("the description does not say %q", word)
		}
	}
	page := w.call("GET", "/docs", "").want(t, 200)
	for _, text := range []string{"/api/v1/artifacts/{id}/upload", "old-form", "multipart/form-data"} {
		if !strings.Contains(string(page.body), text) {
			t.Errorf("the page does not have %q", text)
		}
	}
	if strings.Contains(string(page.body), "<script") || strings.Contains(string(page.body), "https://") {
		t.Error("the page needs something from elsewhere")
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("the page may load: %q", csp)
	}
}

func TestDeployRefusals(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) {
		c.Limits.Parts = 3
		c.Limits.UploadBytes = 1 << 20
		c.Limits.Files = source.DefaultLimits()
		c.Limits.Files.Bytes = 100
	})
	ok := asValue("manifest", site)
	for _, c := range []struct {
		name, body, media string
		code              int
		reason, says      string
	}{
		{"unknown part", form(ok, asValue("file", "x")), formType, 400, "deploy.part", "file"},
		{"unnamed part", form(ok, part{"Content-Type: text/plain\r\n", "x"}), formType, 400, "deploy.part", "without a name"},
		{"two manifests", form(ok, ok), formType, 400, "deploy.part", "manifest"},
		{"files as a value", form(ok, asValue("files", "x")), formType, 400, "deploy.part", "filename"},
		{"too many parts", form(ok, asFile("files", "1", "1"), asFile("files", "2", "2"), asFile("files", "3", "3")), formType, 400, "deploy.part", "3 parts"},
		{"too large unpacked", form(ok, asFile("files", "1", strings.Repeat("x", 101))), formType, 413, "files.too_large", ""},
		{"too large", form(ok, asFile("files", "1", strings.Repeat("x", 1<<20))), formType, 413, "http.too_large", ""},
		{"out of the tree", form(ok, asFile("files", "t", archive(t, "tar", map[string]string{"../x": "x"}))), formType, 400, "files.unsafe", ""},
		{"same name", form(ok, asFile("files", "a", "1"), asFile("files", "A", "2")), formType, 400, "files.conflict", ""},
		{"cut off", form(ok, asFile("files", "a", "1"))[:150], formType, 400, "deploy.form", ""},
		{"no boundary", form(ok), "Content-Type: multipart/form-data", 415, "api.media_type", "boundary"},
		{"mixed", form(ok), "Content-Type: multipart/mixed; boundary=" + boundary, 415, "api.media_type", "multipart/form-data"},
		{"urlencoded", "manifest=x", "Content-Type: application/x-www-form-urlencoded", 415, "api.media_type", "multipart/form-data"},
		{"none", "x", "X: y", 415, "api.media_type", "multipart/form-data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.call("POST", "/deploy", c.body, c.media).problem(t, c.code, c.reason, c.says)
		})
	}
	if n := w.deploys.count(); n != 0 {
		t.Errorf("%d deployments were made", n)
	}
	if left, err := os.ReadDir(w.cfg.Staging); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	// What Submit refuses goes, too.
	w.deploys.refuse = status.New(status.Conflict, "app.exists", "the subdomain is taken")
	w.call("POST", "/deploy", form(ok, asFile("files", "a", "a")), formType).problem(t, 409, "app.exists")
	if left, err := os.ReadDir(w.cfg.Staging); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestDryRun(t *testing.T) {
	w := newWorld(t)
	r := w.call("POST", "/deploy?dry_run=true", form(asValue("manifest", site), asFile("files", "a", "a")), formType).want(t, 200)
	if !strings.Contains(string(r.body), `"operation":"create"`) || !strings.Contains(string(r.body), `"app":"site"`) {
		t.Errorf("got %s", r.body)
	}
	if n := w.deploys.count(); n != 0 {
		t.Error("it was deployed")
	}
	if left, err := os.ReadDir(w.cfg.Staging); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	w.call("POST", "/deploy?dry_run=maybe", form(asValue("manifest", site), asFile("files", "a", "a")), formType).problem(t, 400, "api.query", "dry_run")
}

func TestRespondAsync(t *testing.T) {
	w := newWorld(t)
	w.deploys.gate = make(chan struct{})
	defer close(w.deploys.gate)
	r := w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, "Prefer: respond-async, wait=10").want(t, 202)
	var d deploy.Deployment
	if r.json(t, &d); d.Status != deploy.Pending || r.Header.Get("Location") != "/api/v1/deployments/"+d.ID || r.Header.Get("Preference-Applied") != "respond-async" {
		t.Errorf("got %v %s", r.Header, r.body)
	}
	// A wait that ends before the deployment is no success, and no failure.
	for _, wait := range []string{"0", "1"} {
		w.call("POST", "/deploy", form(asValue("manifest", site), asFile("files", "a", "a")), formType, "Prefer: wait="+wait).want(t, 202)
	}
}
