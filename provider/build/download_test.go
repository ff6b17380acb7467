package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/manifest/detect"
	"apocryph/proto/status"
)

// failing is a runner whose command ends with status 1, having written lines.
type failing struct {
	lines  string
	egress *bool
}

func (f failing) Run(_ context.Context, j Job) error {
	if f.egress != nil {
		*f.egress = j.Egress
	}
	e := status.New(status.InvalidArgument, "build.command", "the build ended with status 1")
	e.Log = strings.Split(f.lines, "\n")
	return fmt.Errorf("running: %w", e)
}

// TestDownloads: what tools write when they cannot have a package, and what is told of it.
func TestDownloads(t *testing.T) {
	lock := "flask==3.0.0 --hash=sha256:" + hexOf(string(flask(t))) + "\n"
	python := Request{Runtime: Python, FS: wheelTree(lock, nil), Plan: pythonPlan, Platform: amd64}
	nodeLock, _ := nodeLock(t)
	node := Request{Runtime: Node, FS: nodeTree(nodeLock), Plan: nodePlan, Platform: amd64}
	golang := Request{Runtime: Go, FS: fstest.MapFS{"go.mod": {Data: []byte("module x\n")}, "main.go": {}}, Plan: &detect.Plan{Runtime: detect.Go, Entry: "."}, Platform: amd64}
	const looking = "Looking in indexes: https://index.example/simple/\n"
	const retrying = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by '%s': /simple/flask/\n"
	const none = "ERROR: Could not find a version that satisfies the requirement flask==3.0.0 (from versions: none)\nERROR: No matching distribution found for flask==3.0.0"
	for name, tt := range map[string]struct {
		req    Request
		lines  string
		reason string
		says   string
	}{
		"pip refused": {python, looking + fmt.Sprintf(retrying, `NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')`) + none, "build.index", "https://index.example/simple/: NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')"},
		"pip silent":  {python, looking + fmt.Sprintf(retrying, `ReadTimeoutError("HTTPConnectionPool(host='index.example', port=80): Read timed out. (read timeout=15.0)")`) + none, "build.index", "Read timed out"},
		"pip 500":     {python, looking + "ERROR: HTTP error 502 while getting https://index.example/files/flask.whl\nERROR: 502 Server Error", "build.index", "https://index.example/files/flask.whl"},
		"pip page":    {python, looking + "WARNING: Could not fetch URL https://index.example/simple/flask/: 500 Server Error: x for url: y - skipping\n" + none, "build.index", "500 Server Error"},
		"pip absent":  {python, looking + none, "build.lock", "flask==3.0.0: the index has no such file"},
		// An index that answered late, and then with something else.
		"pip hash": {python, looking + fmt.Sprintf(retrying, "ReadTimeoutError()") + "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If\n    flask==3.0.0 from https://index.example/x.whl:\n        Expected sha256 00\n             Got        11", "build.lock", "flask==3.0.0: what the index has is not"},
		"pip else": {python, "Traceback: a fault of pip's", "build.command", "status 1"},

		"npm refused": {node, "no answer: https://registry.example/a.tgz: connect ECONNREFUSED 192.0.2.1:443", "build.index", "https://registry.example/a.tgz: connect ECONNREFUSED"},
		"npm absent":  {node, "absent: https://registry.example/a.tgz: HTTP 404", "build.lock", "https://registry.example/a.tgz"},
		"npm hash":    {node, "no answer: https://registry.example/b.tgz: x\nanother hash: https://registry.example/a.tgz: got sha512-a, want sha512-b", "build.lock", "https://registry.example/a.tgz: what the index has is not"},
		"npm else":    {node, "SyntaxError: a fault of the script's", "build.command", "status 1"},

		"go refused": {golang, `main.go:8:2: x@v1: Get "https://proxy.example/x/@v/v1.zip": dial tcp 192.0.2.1:443: connect: connection refused`, "build.index", "connection refused"},
		"go 502":     {golang, "go: x@v1: reading https://proxy.example/x/@v/v1.mod: 502 Bad Gateway", "build.index", "502 Bad Gateway"},
		"go absent":  {golang, "go: x@v1: reading https://proxy.example/x/@v/v1.mod: 404 Not Found", "build.lock", "https://proxy.example/x/@v/v1.mod"},
		"go hash":    {golang, "verifying x@v1: checksum mismatch\n\tdownloaded: h1:a\n\tgo.sum:     h1:b", "build.lock", "x@v1: what the index has is not"},
		"go no hash": {golang, "main.go:8:2: missing go.sum entry for module providing package x/y (imported by z); to add:", "build.lock", "go.sum has no hash for x/y"},
		"go no hash of a go.mod": {
			golang, "go: x@v1: missing go.sum entry for go.mod file; to add it:\n\tgo mod download x", "build.lock", "go.sum has no hash for x",
		},
		"go compiles not": {golang, "./main.go:3:15: undefined: undefined", "build.command", "status 1"},
	} {
		for _, offline := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s offline %v", name, offline), func(t *testing.T) {
				var egress bool
				b, err := New(Config{Dir: t.TempDir() + "/b", Architecture: "amd64", Bases: bases, Runner: failing{tt.lines, &egress}, Offline: offline})
				must(t, err)
				_, err = b.Build(t.Context(), tt.req)
				reason, says := tt.reason, tt.says
				// What is but a download is not even tried without a network.
				if offline && (tt.req.Runtime != Go || reason == "build.index") {
					reason, says = "build.egress", "builds of this provider reach no network"
				}
				if status.ReasonOf(err) != reason || !strings.Contains(err.Error(), says) || egress == offline && tt.req.Runtime == Go {
					t.Errorf("got %v (%s), want %s: %s; egress %v", err, status.ReasonOf(err), reason, says, egress)
				}
				var e *status.Error
				if errors.As(err, &e) && e.Log == nil && (!offline || tt.req.Runtime == Go) {
					t.Error("its last lines are lost")
				}
			})
		}
	}
}
