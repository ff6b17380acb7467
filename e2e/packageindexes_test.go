package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// asked counts what a server was asked for, by path.
type asked struct {
	mu  sync.Mutex
	all map[string]int
}

func (a *asked) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]int{}
	}
	a.all[r.URL.Path]++
}

// times is how often something whose path has text was asked for.
func (a *asked) times(text string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, k := range a.all {
		if strings.Contains(at, text) {
			n += k
		}
	}
	return n
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// pypi is a simple index of wheels by file name: pages of HTML (PEP 503), or JSON (PEP 691).
type pypi struct {
	asked
	json   bool
	wheels map[string]string
}

// project is the normalised name of a wheel's project.
func project(wheel string) string {
	name, _, _ := strings.Cut(wheel, "-")
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}

func (p *pypi) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.note(r)
	dir, file := path.Split(r.URL.Path)
	if dir == "/files/" {
		if data, ok := p.wheels[file]; ok {
			_, _ = io.WriteString(w, data)
			return
		}
		http.NotFound(w, r)
		return
	}
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
	type file691 struct {
		Filename string            `json:"filename"`
		URL      string            `json:"url"`
		Hashes   map[string]string `json:"hashes"`
	}
	var files []file691
	page := "<!DOCTYPE html><html><head><meta name=\"pypi:repository-version\" content=\"1.0\"></head><body>\n"
	for _, wheel := range slices.Sorted(maps.Keys(p.wheels)) {
		if project(wheel) == name {
			sum := sha256Of(p.wheels[wheel])
			files = append(files, file691{wheel, "../../files/" + wheel, map[string]string{"sha256": sum}})
			page += fmt.Sprintf("<a href=\"../../files/%s#sha256=%s\">%s</a><br>\n", html.EscapeString(wheel), sum, html.EscapeString(wheel))
		}
	}
	switch {
	case files == nil:
		http.NotFound(w, r)
	case p.json && strings.Contains(r.Header.Get("Accept"), "application/vnd.pypi.simple.v1+json"):
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.0"}, "name": name, "files": files})
	case p.json:
		http.Error(w, "only JSON", http.StatusNotAcceptable)
	default:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page+"</body></html>\n")
	}
}

// lockOf is a requirements file of projects by name, in version 1.0, with the hash of
// each wheel.
func lockOf(wheels map[string]string) string {
	var out strings.Builder
	for _, wheel := range slices.Sorted(maps.Keys(wheels)) {
		fmt.Fprintf(&out, "%s==1.0 \\\n    --hash=sha256:%s\n", project(wheel), sha256Of(wheels[wheel]))
	}
	return out.String()
}

// npmRegistry has archives by "NAME-VERSION.tgz" below "NAME/-/".
type npmRegistry struct {
	asked
	tarballs map[string]string
}

func (n *npmRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.note(r)
	data, ok := n.tarballs[strings.TrimPrefix(r.URL.Path, "/npm/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, data)
}

// tarball is an npm package of files by name.
func tarball(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(files[name]))})
		if err == nil {
			_, err = io.WriteString(w, files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// integrityOf is a subresource integrity, as npm writes it.
func integrityOf(data string) string {
	sum := sha512.Sum512([]byte(data))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// goProxy serves modules by the protocol of GOPROXY (go help goproxy).
type goProxy struct {
	asked
	files map[string]string
}

// add puts in a module, and returns its lines of go.sum.
func (g *goProxy) add(t *testing.T, at, version string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	named := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		full := at + "@" + version + "/" + name
		named[full] = files[name]
		out, err := z.Create(full)
		if err == nil {
			_, err = io.WriteString(out, files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if g.files == nil {
		g.files = map[string]string{}
	}
	base := at + "/@v/" + version
	g.files[base+".info"] = fmt.Sprintf(`{"Version":%q,"Time":"2024-01-01T00:00:00Z"}`, version)
	g.files[base+".mod"], g.files[base+".zip"] = files["go.mod"], b.String()
	g.files[at+"/@v/list"] = version + "\n"
	hash := func(files map[string]string) string {
		sum, err := dirhash.Hash1(slices.Collect(maps.Keys(files)), func(name string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(files[name])), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", at, version, hash(named), at, version, hash(map[string]string{"go.mod": files["go.mod"]}))
}

func (g *goProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.note(r)
	text, ok := g.files[strings.TrimPrefix(r.URL.Path, "/go/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, text)
}
