package build

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/manifest/detect"
	"apocryph/proto/status"
)

// goProgram is a program as a build makes it: linked with nothing, and saying what
// modules it has.
func goProgram(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "main")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "./static/apocryph-static")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func TestGo(t *testing.T) {
	data := goProgram(t)
	for name, tt := range map[string]struct {
		tree         fstest.MapFS
		entry, flags string
		pkg          string
	}{
		"root":   {fstest.MapFS{"go.mod": {}, "main.go": {}}, ".", "GOFLAGS=-mod=readonly -trimpath -buildvcs=false", "."},
		"vendor": {fstest.MapFS{"go.mod": {}, "vendor/modules.txt": {}}, "cmd/x", "GOFLAGS=-mod=vendor -trimpath -buildvcs=false", "./cmd/x"},
	} {
		t.Run(name, func(t *testing.T) {
			r := leaving(map[string][]byte{"main": data, "secret": []byte("x")})
			res, err := langBuilder(t, r).Build(t.Context(), Request{
				Runtime: Go, FS: tt.tree, Plan: &detect.Plan{Runtime: detect.Go, Entry: tt.entry}, Platform: amd64, Port: 8000, Namespace: "shop",
			})
			j := r.jobs[0]
			if !slices.Equal(j.Argv, []string{"go", "build", "-o", "/out/main", tt.pkg}) || !slices.Contains(j.Env, tt.flags) || j.Namespace != "shop" || !j.Egress {
				t.Errorf("got %v %v", j.Argv, j.Env)
			}
			must(t, err)
			if got := entries(t, res.Image.Layers[1]); len(got) != 2 {
				t.Errorf("got %q", got)
			}
			must(t, res.Close())
		})
	}
}

func TestModules(t *testing.T) {
	var res Result
	must(t, res.modules(bytes.NewReader(goProgram(t))))
	replaced := &debug.Module{Path: "example.org/y", Version: "v1.2.3", Sum: "h1:" + base64.StdEncoding.EncodeToString(make([]byte, 32))}
	res.module(replaced)
	res.module(replaced)
	res.module(&debug.Module{Path: "example.org/local", Version: "(devel)", Sum: "h1:!"})
	if len(res.Packages) != 3 || res.Packages[2].PURL != "pkg:golang/example.org/local@%28devel%29" || res.Packages[0].Name != "stdlib" || res.Packages[1].PURL != "pkg:golang/example.org/y@v1.2.3" {
		t.Errorf("got %v", res.Packages)
	}
	if len(res.Materials) != 1 || res.Materials[0].Digest["goModuleH1"] != strings.Repeat("0", 64) {
		t.Errorf("got %v", res.Materials)
	}
	for name, data := range map[string][]byte{"text": []byte("hello"), "empty": nil, "no Go": program(62, "")} {
		if err := res.modules(bytes.NewReader(data)); status.ReasonOf(err) != "build.executable" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestHostileOutput: what a command leaves is held to what it should be.
func TestHostileOutput(t *testing.T) {
	tree := fstest.MapFS{"go.mod": {}}
	plan := &detect.Plan{Runtime: detect.Go}
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, program(62, ""), 0o600))
	for name, tt := range map[string]struct {
		leave  func(dir string) error
		reason string
	}{
		"nothing":   {func(string) error { return nil }, "build.output"},
		"link":      {func(dir string) error { return os.Symlink(secret, filepath.Join(dir, "main")) }, "build.output"},
		"directory": {func(dir string) error { return os.Mkdir(filepath.Join(dir, "main"), 0o700) }, "build.output"},
		"huge":      {func(dir string) error { return sparse(filepath.Join(dir, "main"), maxProgram+1) }, "build.output"},
		"text":      {func(dir string) error { return os.WriteFile(filepath.Join(dir, "main"), []byte("hello"), 0o700) }, "build.executable"},
		"failure":   {func(string) error { return status.New(status.InvalidArgument, "build.command", "exit status 1") }, "build.command"},
	} {
		t.Run(name, func(t *testing.T) {
			b := langBuilder(t, &runner{leave: func(j Job) error { return tt.leave(j.Output) }})
			_, err := b.Build(t.Context(), Request{Runtime: Go, FS: tree, Plan: plan, Platform: amd64})
			if status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, want %s", err, tt.reason)
			}
			if left, _ := os.ReadDir(b.cfg.Dir); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func sparse(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
