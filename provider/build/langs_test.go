package build

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest/detect"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// shelf has base images of one layer.
type shelf map[string]string

func (s shelf) Base(_ context.Context, role string, p oci.Platform) (Base, error) {
	env, ok := s[role]
	if !ok {
		return Base{}, status.New(status.Unavailable, "build.base", "there is no base image for %s", role)
	}
	layer := "the layer of " + role
	sum := "sha256:" + hexOf(layer)
	config := fmt.Sprintf(`{"os":"linux","architecture":%q,"config":{"Env":["PATH=/usr/bin","%s"],"User":"0"},"rootfs":{"type":"layers","diff_ids":[%q]}}`, p.Architecture, env, sum)
	return Base{URI: "oci:" + role + "@sha256:" + hexOf(config), Image: &oci.Image{
		Digest: "sha256:" + hexOf(config), Platform: p, Config: []byte(config),
		Layers: []oci.Layer{{MediaType: oci.MediaTypeLayer, Digest: sum, Size: int64(len(layer)), Open: func(context.Context) (io.ReadCloser, error) {
			return oci.Verify(io.NopCloser(strings.NewReader(layer)), sum, int64(len(layer)), "layer"), nil
		}}},
	}}, nil
}

var bases = shelf{"python": "PYTHON_VERSION=3.11.2", "node": "NODE_VERSION=20", "go": "X=1", "dockerfile": "X=1"}

// runner plays a command: it leaves files.
type runner struct {
	jobs  []Job
	leave func(j Job) error
}

func (r *runner) Run(_ context.Context, j Job) error {
	r.jobs = append(r.jobs, j)
	return r.leave(j)
}

func leaving(files map[string][]byte) *runner {
	return &runner{leave: func(j Job) error {
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(j.Output, name), data, 0o644); err != nil {
				return err
			}
		}
		return nil
	}}
}

func langBuilder(t testing.TB, r Runner) *Builder {
	t.Helper()
	b, err := New(Config{Dir: filepath.Join(t.TempDir(), "build"), Server: []byte("the server\n"), Architecture: "amd64", Bases: bases, Runner: r})
	must(t, err)
	return b
}

// wheelOf is a wheel with the given files; RECORD is made of them.
func wheelOf(t testing.TB, name, version string, files map[string]string) []byte {
	t.Helper()
	info := name + "-" + version + ".dist-info/"
	all := map[string]string{}
	maps.Copy(all, files)
	if _, ok := all[info+"METADATA"]; !ok {
		all[info+"METADATA"] = "Metadata-Version: 2.4\nName: " + name + "\nVersion: " + version + "\nLicense-Expression: MIT\n\nhello\n"
	}
	var record strings.Builder
	for _, f := range slices.Sorted(maps.Keys(all)) {
		sum := sha256.Sum256([]byte(all[f]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f, base64.RawURLEncoding.EncodeToString(sum[:]), len(all[f]))
	}
	record.WriteString(info + "RECORD,,\n")
	if _, ok := all[info+"RECORD"]; !ok {
		all[info+"RECORD"] = record.String()
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range slices.Sorted(maps.Keys(all)) {
		// What a compressor writes is another thing in each version of Go.
		w, err := z.CreateHeader(&zip.FileHeader{Name: f, Method: zip.Store})
		must(t, err)
		_, err = io.WriteString(w, all[f])
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

func flask(t testing.TB) []byte {
	return wheelOf(t, "flask", "3.0.0", map[string]string{
		"flask/__init__.py": "x = 1\n", "flask/app.py": "", "flask-3.0.0.data/scripts/flask": "#!python\n", "flask-3.0.0.data/purelib/extra.py": "y = 2\n",
	})
}

func pythonTree(t testing.TB) fstest.MapFS {
	return fstest.MapFS{
		"main.py":                             {Data: []byte("import flask\n"), Mode: 0o644},
		"data/x.txt":                          {Data: []byte("x"), Mode: 0o600},
		"__pycache__/main.pyc":                {Data: []byte("other on each machine")},
		"requirements.txt":                    {Data: []byte("flask==3.0\n")},
		"wheels/flask-3.0.0-py3-none-any.whl": {Data: flask(t)},
	}
}

var pythonPlan = &detect.Plan{Runtime: detect.Python, Entry: "main.py", Argv: []string{"python", "/app/main.py"}}

// tarball is an npm package.
func tarball(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	must(t, err)
	_, err = z.Write(packed(t, files...))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

func sri(data []byte) string {
	sum := sha512.Sum512(data)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func nodeTree(lock string) fstest.MapFS {
	return fstest.MapFS{
		"server.js":         {Data: []byte("require('left-pad')\n"), Mode: 0o644},
		"package.json":      {Data: []byte(`{"dependencies":{"left-pad":"1.0.0"}}`)},
		"package-lock.json": {Data: []byte(lock)},
	}
}

var nodePlan = &detect.Plan{Runtime: detect.Node, Entry: "server.js", Argv: []string{"node", "server.js"}}

func nodeLock(t testing.TB) (string, map[string][]byte) {
	one := tarball(t, "package/index.js", "module.exports = 1\n", "package/cli.js", "#!/usr/bin/env node\n", "package/lib/a.js", "")
	two := tarball(t, "package/index.js", "module.exports = 2\n")
	lock := fmt.Sprintf(`{"lockfileVersion":3,"packages":{
		"":{"dependencies":{"left-pad":"1.0.0"}},
		"node_modules/left-pad":{"version":"1.0.0","resolved":"https://registry.invalid/left-pad-1.0.0.tgz","integrity":%q,"license":"MIT","bin":{"left-pad":"./cli.js"}},
		"node_modules/@a/b":{"version":"2.0.0","resolved":"https://registry.invalid/b-2.0.0.tgz","integrity":%q},
		"node_modules/@a/b/node_modules/left-pad":{"version":"1.0.0","resolved":"https://registry.invalid/left-pad-1.0.0.tgz","integrity":%q},
		"node_modules/only-mac":{"version":"1.0.0","optional":true,"os":["darwin"],"resolved":"https://registry.invalid/m.tgz","integrity":"sha512-x"},
		"node_modules/tests":{"version":"1.0.0","dev":true,"resolved":"https://registry.invalid/t.tgz","integrity":"sha512-x"}}}`, sri(one), sri(two), sri(one))
	return lock, map[string][]byte{"0.tgz": two, "1.tgz": one}
}

// requests are builds of each language, and what their commands leave.
func requests(t testing.TB) map[string]struct {
	req  Request
	left map[string][]byte
} {
	lock, archives := nodeLock(t)
	locked := pythonTree(t)
	delete(locked, "wheels/flask-3.0.0-py3-none-any.whl")
	locked["requirements.txt"] = &fstest.MapFile{Data: []byte("flask==3.0.0 \\\n  --hash=sha256:" + hexOf(string(flask(t))) + "\n")}
	return map[string]struct {
		req  Request
		left map[string][]byte
	}{
		"python":      {Request{Runtime: Python, FS: pythonTree(t), Plan: pythonPlan, Platform: amd64, Args: []string{"-v"}, Port: 8000}, nil},
		"python lock": {Request{Runtime: Python, FS: locked, Plan: pythonPlan, Platform: amd64}, map[string][]byte{"flask-3.0.0-py3-none-any.whl": flask(t)}},
		"node":        {Request{Runtime: Node, FS: nodeTree(lock), Plan: nodePlan, Platform: amd64, Port: 3000}, archives},
	}
}

// TestGoldenLanguages holds images of languages to their bytes, on bases of the test.
func TestGoldenLanguages(t *testing.T) {
	got := map[string][]string{}
	for name, r := range requests(t) {
		res := build(t, langBuilder(t, leaving(r.left)), r.req)
		got[name] = []string{res.Image.Digest, string(res.Image.Config)}
		for _, l := range res.Image.Layers[1:] {
			got[name] = append(got[name], entries(t, l)...)
		}
		for _, m := range res.Materials {
			got[name] = append(got[name], fmt.Sprint(m.Name, " ", m.URI, " ", m.Digest))
		}
		for _, p := range res.Packages {
			got[name] = append(got[name], fmt.Sprint(p.PURL, " ", p.SHA256, " ", p.License))
		}
		if left, _ := os.ReadDir(filepath.Join(res.dir, "staging")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	data, err := json.MarshalIndent(got, "", "\t")
	must(t, err)
	path := filepath.Join("testdata", "languages.json")
	if *update {
		must(t, os.WriteFile(path, append(data, '\n'), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), string(data)+"\n"); diff != "" {
		t.Error(diff)
	}
}

// TestI5PythonImage: what a Python image says of itself.
func TestI5PythonImage(t *testing.T) {
	res := build(t, langBuilder(t, nil), Request{Runtime: Python, FS: pythonTree(t), Plan: pythonPlan, Platform: amd64})
	var c ocispec.Image
	must(t, json.Unmarshal(res.Image.Config, &c))
	if c.Config.User != nonroot || c.Config.WorkingDir != "/app" || res.Port != healthPort || res.Base == nil ||
		!slices.Equal(c.Config.Entrypoint, []string{"python", "/app/main.py"}) || !slices.Equal(res.Argv, c.Config.Entrypoint) {
		t.Errorf("%s", res.Image.Config)
	}
	if _, ok := c.Config.ExposedPorts["50051/tcp"]; !ok || !slices.Contains(c.Config.Env, "PYTHONPATH=/app:/opt/deps") || !slices.Contains(c.Config.Env, "PATH=/usr/bin") {
		t.Errorf("%s", res.Image.Config)
	}
}
