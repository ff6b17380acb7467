package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// readmeExample is the README's example with curl alone.
var readmeExample = regexp.MustCompile("(?s)```sh\n(bin/provider serve .*?)```")

// TestReadmeDirect types the README's third example as it is written there, in
// what a fresh clone has after make build, and finds the site and the program.
// Ports are free ones: flags have variables, and curl is told where 8081 is.
func TestReadmeDirect(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := readmeExample.FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README has no such example")
	}
	w := harness.New(t)
	dir := filepath.Dir(w.Write("clone/.keep", ""))
	tree, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"bin": w.Programs()}
	for _, name := range []string{"go.mod", "go.sum", "e2e"} {
		links[name] = filepath.Join(tree, name)
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ingress := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.Write("home/.curlrc", "silent\nshow-error\nconnect-to = \":8081:"+ingress+"\"\n")
	// Around it, what leaves the machine as it was: no provider, no app.
	const before = "trap 'kill $(jobs -p); wait' EXIT\n"
	const after = `
for id in $(curl --unix-socket data/api.sock http://provider/api/v1/apps | grep -oE '"id":"[^"]+"' | cut -d'"' -f4); do
  curl -X DELETE --unix-socket data/api.sock http://provider/api/v1/apps/$id
done
`
	out := w.Shell(dir, before+string(m[1])+after,
		"APOCRYPH_INGRESS="+ingress, "APOCRYPH_API=127.0.0.1:0", "APOCRYPH_LISTEN=/ip4/127.0.0.1/tcp/0", "APOCRYPH_NO_MDNS=true", "APOCRYPH_LOG_LEVEL=warn",
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOFLAGS=-mod=readonly")
	for _, want := range []string{`"app":"site"`, "<h1>hello</h1>\n", `"app":"hello"`, "\nhello from "} {
		if !strings.Contains("\n"+out, want) {
			t.Errorf("does not have %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, `"status":"succeeded"`); n != 2 {
		t.Errorf("%d deploys succeeded, want 2:\n%s", n, out)
	}
}

// goEnv is a setting of the Go command, whose home is another one in the test.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
