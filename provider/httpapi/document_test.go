package httpapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/httpapi"
)

var update = flag.Bool("update", false, "rewrite the answers in docs/deploy-api.md")

// documentPath is the page whose commands are run and whose answers are checked.
const documentPath = "../../docs/deploy-api.md"

var (
	blockOf   = regexp.MustCompile("(?ms)^```console run ?([a-z-]*)\n(.*?)^```$")
	uuidOf    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	tokenOf   = regexp.MustCompile(`token:[0-9a-z]{8,}`)
	timeOf    = regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`)
	serverOf  = regexp.MustCompile(`(?m)^(Date|Content-Length|X-Content-Type-Options|Cache-Control|Vary|Connection): .*\r?\n`)
	problemOf = regexp.MustCompile(`urn:apocryph:problem:([a-z_.]+)`)
)

// documentFailures are how deployments end in the blocks that ask for it.
var documentFailures = map[string]*deploy.Failure{
	"":            nil,
	"app-fails":   {Code: "pod.failed", Detail: "the app exited with code 1 before it was healthy", Log: []string{"reading config.yaml: no such file"}, Class: status.AppFailed},
	"build-fails": {Code: "build.executable", Detail: "entry: got a text file, want a Linux executable (ELF)", Class: status.InvalidArgument},
}

// documentProblems are the refusals that the page has to show.
var documentProblems = []string{
	"api.key_reused", "api.media_type", "auth.missing", "auth.scope", "build.executable", "deploy.files_missing", "deploy.files_twice", "deploy.form",
	"deploy.manifest_large", "deploy.manifest_missing", "deploy.part", "files.conflict", "files.unsafe", "git.ref_not_found", "http.too_large", "json.malformed",
	"manifest.invalid", "pod.failed", "route.method", "route.unknown",
}

// TestR10Report: the page has both forms side by side, what an earlier handler did,
// and a call and its real answer for each kind of request, valid or not.
func TestR10Report(t *testing.T) {
	b, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, want := range []string{"| | old form | canonical form |", "| the earlier handler | here |", "## Requests that are valid", "## Requests that are not", "## Apps that do not come up"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	shown := map[string]bool{}
	for _, block := range blockOf.FindAllStringSubmatch(page, -1) {
		for _, m := range problemOf.FindAllStringSubmatch(block[2], -1) {
			shown[m[1]] = strings.Contains(block[2], "curl ")
		}
	}
	for _, reason := range documentProblems {
		if !shown[reason] {
			t.Errorf("the page shows no call that is refused as %s", reason)
		}
	}
}

// TestDeployDocument runs each command of the page with bash and curl, as it is
// written there, and holds what it prints against what the page has below it.
func TestDeployDocument(t *testing.T) {
	page, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	w := newHost(t, func(c *httpapi.Config) { c.Limits.UploadBytes = 1 << 20 })
	w.call("PUT", "/api/v1/namespaces/default/git", metrics+"}", jsonType).want(t, 200)
	home, dir := t.TempDir(), t.TempDir()
	rc := fmt.Sprintf("silent\nshow-error\nheader = %q\n", w.token("deploy:default"))
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	names := &renamed{seen: map[string]string{}}
	got := blockOf.ReplaceAllFunc(page, func(block []byte) []byte {
		m := blockOf.FindSubmatch(block)
		failure, ok := documentFailures[string(m[1])]
		if !ok {
			t.Fatalf("there is no block %q", m[1])
		}
		w.deploys.mu.Lock()
		w.deploys.failure = failure
		w.deploys.mu.Unlock()
		head, _, _ := bytes.Cut(block, []byte("\n"))
		out := append(bytes.Clone(head), '\n')
		for _, command := range commandsOf(string(m[2])) {
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "API=http://" + w.addr, "LC_ALL=C"}
			printed, err := cmd.CombinedOutput()
			printed = bytes.ReplaceAll(printed, []byte(w.server.URL()), []byte("https://github.com"))
			if err != nil {
				t.Errorf("%s\n%v: %s", command, err, printed)
			}
			out = append(out, "$ "+command+"\n"...)
			out = append(out, names.tidy(string(printed), w.addr)...)
		}
		return append(out, "```"...)
	})
	shown := map[string]bool{}
	for _, m := range problemOf.FindAllSubmatch(got, -1) {
		shown[string(m[1])] = true
	}
	for _, reason := range documentProblems {
		if !shown[reason] {
			t.Errorf("no request is answered with %s", reason)
		}
	}
	if *update {
		if err := os.WriteFile(documentPath, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(page), string(got)); diff != "" {
		t.Errorf("the page is not what the API answers; look at it, then run with -update:\n%s", diff)
	}
}

// commandsOf are the commands of a block: a "$ ", and lines as long as each ends
// with a backslash.
func commandsOf(block string) (out []string) {
	goesOn := false
	for line := range strings.Lines(block) {
		line = strings.TrimSuffix(line, "\n")
		switch command, ok := strings.CutPrefix(line, "$ "); {
		case goesOn:
			out[len(out)-1] += "\n" + line
		case ok:
			out = append(out, command)
		default:
			continue
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
	return out
}

// renamed gives what is new in every run a name that is not.
type renamed struct{ seen map[string]string }

func (r *renamed) tidy(out, addr string) string {
	out = serverOf.ReplaceAllString(out, "")
	out = strings.ReplaceAll(strings.ReplaceAll(out, "\r\n", "\n"), addr, "API")
	lines := strings.SplitAfter(out, "\n")
	for i, line := range lines {
		var indented bytes.Buffer
		if strings.HasPrefix(line, "{") && json.Indent(&indented, []byte(strings.TrimSpace(line)), "", "  ") == nil {
			lines[i] = indented.String() + "\n"
		}
	}
	out = strings.Join(lines, "")
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	out = tokenOf.ReplaceAllString(out, "token:1")
	out = timeOf.ReplaceAllString(out, "2026-11-01T12:00:00Z")
	return uuidOf.ReplaceAllStringFunc(out, func(id string) string {
		if r.seen[id] == "" {
			r.seen[id] = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(r.seen)+1)
		}
		return r.seen[id]
	})
}
