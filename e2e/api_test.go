package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// TestDeployByAPI deploys the same manifest to a provider that is trusted: by its
// socket, then by TCP with a token, which is good for one namespace.
func TestDeployByAPI(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	file := w.Write("app.yaml", direct(t, w, "hello one", "health: {http: /}"))
	socket, tcp := "unix:"+p.Info.APISocket, "http://"+p.Info.API
	t.Cleanup(func() { deleteDirect(t, p, "default", "team") })

	r := pub.Must("deploy", file, "--api", socket, "--json")
	res := r.Object(t)
	for _, field := range []string{"event", "app", "pod_id", "revision", "deployment_id", "images", "manifest_digest", "url", "preview_url"} {
		if res[field] == nil || res[field] == "" {
			t.Errorf("the result lacks %s: %v", field, res)
		}
	}
	if res["verdict"] != "not attested" || res["namespace"] != "default" || !strings.Contains(r.Stderr, "trusted, not proven") {
		t.Errorf("the result: %v\n%s", res, r.Stderr)
	}
	address := res["url"].(string)
	if code, body := get(t, address, p.Info.Ingress); code != 200 || !strings.HasPrefix(body, "hello one") {
		t.Fatalf("the app answers %d %q", code, body)
	}

	w.Write("secrets/token", "a secret token")
	w.Write("app.yaml", direct(t, w, "hello two", "health: {http: /}\n    volumes: [{name: secrets, mountPath: /run/secrets}]")+"volumes: [{name: secrets, type: secret, source: secrets/}]\n")
	if out := pub.Must("deploy", file, "--api", socket, "--dry-run"); !strings.HasPrefix(out.Stdout, "update hello in production") {
		t.Errorf("the dry run: %q", out.Stdout)
	}
	if got := pub.Must("deploy", file, "--api", socket); got.Last() != address {
		t.Errorf("the update is at %s, want %s", got.Last(), address)
	}
	answers(t, p, address, "hello two")
	if _, body := get(t, address+"secret", p.Info.Ingress); body != fmt.Sprintf("sha256:%x\n", sha256.Sum256([]byte("a secret token"))) {
		t.Errorf("the app's secret: %q", body)
	}

	// An app that does not come up ends with its last lines, and what ran goes on.
	w.Write("app.yaml", direct(t, w, "hello three", `command: ["/nonexistent"]`))
	pub.Fails(19, []string{"/nonexistent"}, "deploy", file, "--api", socket)
	answers(t, p, address, "hello two")

	w.Write("app.yaml", direct(t, w, "hello team", "health: {http: /}"))
	pub.Fails(11, []string{"publisher login " + tcp}, "deploy", file, "--api", tcp)
	pub.Fails(11, []string{"checking the token"}, "login", tcp, "--token-file", w.Write("wrong", "apo_wrong\n"))
	pub.Must("login", tcp, "--token-file", w.Write("token", token(t, p, "deploy:team")))
	team := pub.Must("deploy", file, "--api", tcp, "--json").Object(t)
	if team["namespace"] != "team" || team["url"] == address {
		t.Errorf("with the token of team: %v", team)
	}
	answers(t, p, team["url"].(string), "hello team")
	pub.Fails(11, []string{"deploy:default"}, "deploy", file, "--api", tcp, "--namespace", "default")
	answers(t, p, address, "hello two")
	apps(t, pub, socket, tcp)
	answers(t, p, address, "hello one")
	if code, _ := get(t, address+"secret", p.Info.Ingress); code != 404 {
		t.Errorf("the secret of the revision that was replaced is still there: %d", code)
	}
	pub.Must("delete", "hello", "--api", socket)
	pub.Fails(13, nil, "status", "hello", "--api", tcp, "--namespace", "default")
	if got := pub.Must("status", "hello").Stdout; !strings.Contains(got, tcp) {
		t.Errorf("one app is left: %s", got)
	}
	pub.Must("logout", tcp)
	pub.Fails(11, nil, "deploy", file, "--api", tcp)
}

// apps asks about the two apps of TestDeployByAPI what may be asked of any other,
// and brings the first revision of the first back.
func apps(t *testing.T, pub *harness.Publisher, socket, tcp string) {
	t.Helper()
	if got := pub.Must("list").Stdout; strings.Count(got, "hello ") != 2 || !strings.Contains(got, socket) || !strings.Contains(got, tcp) {
		t.Errorf("the list: %s", got)
	}
	pub.Fails(10, []string{"hello runs at 2 places", socket, "--namespace team"}, "status", "hello")
	at := []string{"hello", "--api", socket}
	if got := pub.Must(append([]string{"status"}, at...)...).Stdout; !strings.Contains(got, "failed: ") || !strings.Contains(got, "revision 2 serves") || !strings.Contains(got, "not attested") {
		t.Errorf("the status: %s", got)
	}
	history := pub.Must(append([]string{"history"}, at...)...).Stdout
	if strings.Count(history, " up ") != 2 || !strings.Contains(history, "serves") || !strings.Contains(history, "/nonexistent") {
		t.Errorf("the history: %s", history)
	}
	if got := pub.Must(append([]string{"logs", "--tail", "50"}, at...)...); got.Stdout+got.Stderr == "" {
		t.Error("the log is empty")
	}
	pub.Fails(13, []string{"no revision 99"}, "rollback", "hello", "99", "--api", socket)
	back := pub.Must(append([]string{"rollback", "--json"}, at...)...).Object(t)
	if back["revision"] == nil || back["verdict"] != "not attested" {
		t.Errorf("brought back: %v", back)
	}
	if got := pub.Must(append([]string{"status"}, at...)...).Stdout; !strings.Contains(got, "succeeded") {
		t.Errorf("the status after: %s", got)
	}
}

// direct is a manifest whose image is an archive.
func direct(t *testing.T, w *harness.World, greeting, line string) string {
	t.Helper()
	archive := w.Path("app.tar")
	if _, err := os.Stat(archive); err != nil {
		if out, err := exec.Command("tar", "-C", w.Image(0, 1), "-cf", archive, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return strings.Replace(app("hello", "x", "env: {GREETING: "+greeting+"}", line), "oci:x", "oci-archive:app.tar", 1)
}

// token is one that the provider's program makes.
func token(t *testing.T, p *harness.Provider, scope string) string {
	t.Helper()
	return p.Operate("token", "create", "--name", "test", "--scope", scope, "--expires", "1h")
}

// deleteDirect deletes what is left of the apps that were deployed by the API.
func deleteDirect(t *testing.T, p *harness.Provider, namespaces ...string) {
	t.Helper()
	c := harness.Socket(p.Info.APISocket)
	defer c.CloseIdleConnections()
	for _, ns := range namespaces {
		var app struct {
			ID string `json:"id"`
		}
		switch code := harness.JSON(t, c, http.MethodGet, "/api/v1/apps/"+ns+"/hello", &app); code {
		case http.StatusOK:
		case http.StatusNotFound:
			continue // the test has deleted it
		default:
			t.Errorf("%s: the app is answered by %d", ns, code)
			continue
		}
		if code := harness.JSON(t, c, http.MethodDelete, "/api/v1/apps/"+app.ID, nil); code != http.StatusNoContent {
			t.Errorf("%s: deleting is answered by %d", ns, code)
		}
	}
}
