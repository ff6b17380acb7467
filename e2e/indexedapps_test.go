package e2e

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// greeter is a Python server that answers with what it imports.
const greeter = `import os, greeting
from http.server import BaseHTTPRequestHandler, HTTPServer


class H(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(greeting.word.encode())


HTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
`

// wheels are those of two projects, of which one imports the other.
func wheels(t *testing.T) map[string]string {
	return map[string]string{
		"greeting-1.0-py3-none-any.whl":    wheelOf(t, "greeting", "import whom_to\nword = 'hello ' + whom_to.greet\n"),
		"whom_to-1.0-py3-none-any.whl":     wheelOf(t, "whom_to", "greet = 'the index'\n"),
		"unwanted-1.0-py3-none-any.whl":    wheelOf(t, "unwanted", "raise 1\n"),
		"greeting-2.0-py3-none-any.whl":    "the next one",
		"greeting-1.0-cp27-none-win32.whl": "for another machine",
	}
}

// indexes have what apps of three languages need. Files are what the apps' commits are.
type indexes struct {
	pypi     *pypi
	registry *npmRegistry
	proxy    *goProxy
	files    map[string]map[string]string
}

func newIndexes(t *testing.T) *indexes {
	t.Helper()
	x := &indexes{pypi: &pypi{wheels: wheels(t)}, proxy: &goProxy{}, registry: &npmRegistry{tarballs: map[string]string{
		"greeting/-/greeting-1.2.3.tgz": tarball(t, map[string]string{
			"package.json": `{"name":"greeting","version":"1.2.3","main":"index.js"}`, "index.js": "module.exports = 'hello ' + require('@acme/whom');\n",
			// A command, as next and many others are.
			"cli.js": "#!/usr/bin/env node\nrequire('http').createServer((_, a) => a.end(require('./'))).listen(process.argv[2]);\n",
		}),
		"@acme/whom/-/whom-0.1.0.tgz": tarball(t, map[string]string{
			"package.json": `{"name":"@acme/whom","version":"0.1.0"}`, "index.js": "module.exports = 'the registry';\n",
		}),
	}}}
	locked := map[string]string{}
	for _, wheel := range []string{"greeting-1.0-py3-none-any.whl", "whom_to-1.0-py3-none-any.whl"} {
		locked[wheel] = x.pypi.wheels[wheel]
	}
	lock, err := json.Marshal(map[string]any{
		"name": "app", "version": "1.0.0", "lockfileVersion": 3,
		"packages": map[string]any{
			"": map[string]any{"name": "app", "version": "1.0.0", "dependencies": map[string]string{"greeting": "^1.2.0"}},
			"node_modules/greeting": map[string]any{
				"version": "1.2.3", "resolved": "https://registry.example/greeting/-/greeting-1.2.3.tgz",
				"integrity": integrityOf(x.registry.tarballs["greeting/-/greeting-1.2.3.tgz"]), "dependencies": map[string]string{"@acme/whom": "*"}, "license": "MIT",
				"bin": map[string]string{"greet": "cli.js"},
			},
			"node_modules/@acme/whom":  map[string]any{"version": "0.1.0", "integrity": integrityOf(x.registry.tarballs["@acme/whom/-/whom-0.1.0.tgz"])},
			"node_modules/only-tested": map[string]any{"version": "1.0.0", "dev": true, "integrity": integrityOf("x")},
			"node_modules/of-mac":      map[string]any{"version": "1.0.0", "optional": true, "os": []string{"darwin"}, "integrity": integrityOf("y")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sums := x.proxy.add(t, "example.org/greeting", "v1.2.3", map[string]string{
		"go.mod": "module example.org/greeting\n\ngo 1.21\n", "greeting.go": "package greeting\n\nconst Word = \"hello the proxy\"\n",
	})
	x.files = map[string]map[string]string{
		"python": {"main.py": greeter, "requirements.txt": lockOf(locked)},
		"node": {
			"package.json":      `{"name":"app","version":"1.0.0","scripts":{"start":"NODE_NO_WARNINGS=1 exec greet $PORT"},"dependencies":{"greeting":"^1.2.0"}}`,
			"package-lock.json": string(lock),
		},
		"go": {
			"go.mod": "module example.org/app\n\ngo 1.21\n\nrequire example.org/greeting v1.2.3\n", "go.sum": sums,
			"main.go": "package main\n\nimport (\n\t\"io\"\n\t\"net/http\"\n\t\"os\"\n\n\t\"example.org/greeting\"\n)\n\nfunc main() {\n" +
				"\thttp.ListenAndServe(\":\"+os.Getenv(\"PORT\"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, greeting.Word) }))\n}\n",
		},
	}
	return x
}

// with are an app's files with others.
func (x *indexes) with(app string, more map[string]string) map[string]string {
	out := maps.Clone(x.files[app])
	maps.Copy(out, more)
	return out
}

// environment says where indexes are, as an operator does. GOSUMDB, the database of checksums
// for what go.sum lacks, stays as it is, though this internet has none: with -mod=readonly
// nothing is lacking, and it is not asked.
func environment(pip, npm, proxy string) (flags []string) {
	host, _, _ := strings.Cut(strings.TrimPrefix(pip, "http://"), ":")
	for _, kv := range []string{
		"PIP_INDEX_URL=" + pip + "/simple/", "PIP_TRUSTED_HOST=" + host, "NPM_CONFIG_REGISTRY=" + npm + "/npm/", "GOPROXY=" + proxy + "/go",
	} {
		flags = append(flags, "--build-env", kv)
	}
	return flags
}
