package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/e2e/harness"
)

// events are the JSON objects of a command's standard output.
func events(t *testing.T, r harness.Result) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(r.Stdout) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, o)
	}
	return out
}

// revisions are what history lists: revision, outcome and note, newest first.
func revisions(t *testing.T, pub *harness.Publisher, app string) (out []string) {
	t.Helper()
	for _, e := range events(t, pub.Must("history", app, "--json")) {
		if e["event"] != "revision" {
			continue
		}
		text := e["outcome"].(string)
		if e["current"] == true {
			text += " current"
		}
		if e["restorable"] == true {
			text += " restorable"
		}
		out = append(out, text)
	}
	return out
}

// TestRollback deploys, breaks and goes back; while it does, somebody uses the app.
func TestRollback(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	w.Write("token", "a secret token")
	version := func(greeting string, lines ...string) string {
		lines = append([]string{`env: {GREETING: ` + greeting + `, TOKEN: CANARY-` + greeting + `}`, `health: {http: /, interval: 1s}`}, lines...)
		return w.Write("app.yaml", app("shop", w.Image(0, 1), lines...))
	}
	one := app("shop", w.Image(0, 1), `env: {GREETING: one, TOKEN: CANARY-one}`, `health: {http: /, interval: 1s}`,
		`volumes: [{name: secrets, mountPath: /run/secrets}]`) + "volumes:\n  - {name: secrets, type: secret, source: token}\n"
	file := w.Write("app.yaml", one)

	// A dry run of what is not there, which uploads nothing.
	dry := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol, "--dry-run", "--json")
	if o := dry.Object(t); o["replaces"] != 0.0 || len(o["changes"].([]any)) < 10 || o["offer"].(map[string]any)["total_per_hour"] == nil {
		t.Errorf("the dry run of a new app: %v", o)
	}
	if strings.Contains(dry.Stdout+dry.Stderr, "CANARY") || strings.Contains(dry.Stdout, `"event":"publish"`) {
		t.Errorf("the dry run shows or sends too much:\n%s", dry.Stdout)
	}
	pub.Fails(13, []string{"shop"}, "history", "shop", "--provider", p.Addr())

	address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
	answers(t, p, address, "one")

	// No request is lost in two updates and two rollbacks.
	stop := make(chan struct{})
	var users sync.WaitGroup
	var mu sync.Mutex
	var lost []string
	asked := 0
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				code, body := get(t, address, p.Info.Ingress)
				mu.Lock()
				if asked++; code != 200 {
					lost = append(lost, body)
				}
				mu.Unlock()
			}
		})
	}
	version("two")
	text := pub.Must("deploy", file, "--policy", pol, "--dry-run").Stdout
	for _, want := range []string{
		"revision 1 of shop would be replaced:", "containers[web].env.GREETING", "containers[web].env.TOKEN", "changed",
		"volumes[secrets].type", "removed: secret", "volumes[secrets].files[token]", "price: free",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "CANARY") || strings.Contains(text, ".image") {
		t.Errorf("the dry run shows a value, or an image that is the same:\n%s", text)
	}
	pub.Must("deploy", file, "--policy", pol)
	answers(t, p, address, "two")
	if got, want := strings.Join(revisions(t, pub, "shop"), ", "), "up current, up restorable"; got != want {
		t.Errorf("the history is %s, want %s", got, want)
	}

	// What does not come up leaves the one before.
	broken := w.Write("broken.yaml", "name: shop\ncontainers:\n  - name: web\n    image: oci:"+w.Probe()+"\n    args: [echo, the, database, is, gone, ;, exit, \"3\"]\n    port: 8080\n    resources: {cpu: 100m, memory: 64Mi}\n")
	pub.Fails(19, []string{"exited with code 3", "the database is gone"}, "deploy", broken, "--policy", pol)
	answers(t, p, address, "two")
	if got, want := strings.Join(revisions(t, pub, "shop"), ", "), "failed, up current, up restorable"; got != want {
		t.Errorf("the history is %s, want %s", got, want)
	}
	if text := pub.Must("history", "shop").Stdout; !strings.Contains(text, "the last lines of revision 3:") || !strings.Contains(text, "the database is gone") {
		t.Errorf("the history does not say why:\n%s", text)
	}

	r := pub.Must("rollback", "shop", "--json").Object(t)
	if r["revision"] != 4.0 || r["replaced"] != 2.0 || r["url"] != address || strings.Contains(r["warnings"].([]any)[0].(string), "remembered") {
		t.Errorf("the rollback: %v", r)
	}
	answers(t, p, address, "one")
	if _, body := get(t, address+"secret", p.Info.Ingress); !strings.HasPrefix(body, "sha256:") {
		t.Errorf("the secret is not there again: %q", body)
	}
	close(stop)
	users.Wait()
	if len(lost) > 0 || asked < 50 {
		t.Errorf("%d of %d requests were lost: %.300q", len(lost), asked, lost)
	}

	// What came back is what the pod log and the receipt are about.
	// The one before it is drained first.
	harness.Eventually(t, "the pod log shows what came back", func() bool {
		return pub.Run("attest", "--pod", "shop", "--policy", pol).Exit == 0
	})
	if st := pub.Must("status", "shop", "--json").Object(t); st["manifest_digest"] != r["manifest_digest"] || st["revision"] != 4.0 {
		t.Errorf("status: %v", st)
	}
	pub.Must("status", "shop", "--receipt", w.Path("receipt"))

	// After a restart, and without anything that the publisher had to upload.
	if err := os.RemoveAll(filepath.Join(pub.Home, "content")); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	p.Start()
	answers(t, p, address, "one")
	pub.Must("rollback", "shop", "2")
	answers(t, p, address, "two")

	pub.Fails(13, []string{"it can go back to"}, "rollback", "shop", "3")
	pub.Fails(14, []string{"at revision 5 already"}, "rollback", "shop", "5")
	pub.Must("policy", "init", "-o", w.Path("strict.yaml"))
	pub.Fails(12, nil, "rollback", "shop", "--policy", w.Path("strict.yaml"))
	answers(t, p, address, "two")

	// The next deploy replaces what was rolled back to.
	version("six")
	if d := pub.Must("deploy", file, "--policy", pol, "--json").Object(t); d["revision"] != 6.0 {
		t.Errorf("the deploy after it: %v", d)
	}
	answers(t, p, address, "six")
}
