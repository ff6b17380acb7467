package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"apocryph/e2e/harness"
)

// get asks an app through the ingress, dialling it where the host does not resolve.
func get(t *testing.T, rawURL, dial string) (int, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, dial)
	}}
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(u.String())
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// answers waits until the app answers with a text: right after a restart the
// ingress is up before the pod's routes are.
func answers(t *testing.T, p *harness.Provider, rawURL, want string) {
	t.Helper()
	var last string
	harness.Eventually(t, rawURL+" answers "+want, func() bool {
		_, last = get(t, rawURL, p.Info.Ingress)
		return strings.Contains(last, want)
	})
}

// TestDeploy is the main job: deploy, use, look, update, delete.
func TestDeploy(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	w.Write("token", "a secret token")
	file := w.Write("app.yaml", app("hello", w.Image(0, 1), `env: {GREETING: hello one}`, `health: {http: /}`,
		`volumes: [{name: secrets, mountPath: /run/secrets}]`)+"volumes:\n  - {name: secrets, type: secret, source: token}\n")

	r := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol, "--json")
	res := r.Object(t)
	for _, field := range []string{"event", "app", "pod_id", "revision", "provider", "images", "manifest_digest", "verdict", "url"} {
		if res[field] == nil || res[field] == "" {
			t.Errorf("the result lacks %s: %v", field, res)
		}
	}
	address := res["url"].(string)
	if code, body := get(t, address, p.Info.Ingress); code != 200 || !strings.HasPrefix(body, "hello one") {
		t.Fatalf("the app answers %d %q", code, body)
	}
	digest := fmt.Sprintf("sha256:%x\n", sha256.Sum256([]byte("a secret token")))
	if _, body := get(t, address+"secret", p.Info.Ingress); body != digest {
		t.Errorf("the app's secret: %q", body)
	}
	if r := pub.Must("logs", "hello", "--tail", "1"); !strings.Contains(r.Stdout+r.Stderr, "GET /") {
		t.Errorf("logs: %q %q", r.Stdout, r.Stderr)
	}
	if st := pub.Must("status", "hello", "--json").Object(t); st["state"] != "running" || st["pod_id"] != res["pod_id"] {
		t.Errorf("status: %v", st)
	}

	w.Write("app.yaml", app("hello", w.Image(0, 1), `env: {GREETING: hello two}`, `health: {http: /}`))
	second := pub.Must("deploy", file, "--policy", pol, "--json").Object(t)
	if second["revision"] != 2.0 || second["url"] != address {
		t.Errorf("the update: %v", second)
	}
	answers(t, p, address, "hello two")
	if code, _ := get(t, address+"secret", p.Info.Ingress); code != 404 {
		t.Errorf("the secret of the old revision is still there: %d", code)
	}

	pub.Must("delete", "hello")
	if code, body := get(t, address, p.Info.Ingress); code != 404 {
		t.Errorf("a deleted app answers %d %q", code, body)
	}
	pub.Fails(13, []string{"hello"}, "status", "hello")
}

// TestPodsOutliveTheProvider kills the provider and stops it politely: the pod
// goes on and answers again as soon as there is an ingress.
func TestPodsOutliveTheProvider(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", app("steady", w.Image(0, 1)))
	address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
	answers(t, p, address, "hello from steady")
	p.Kill()
	p.Start()
	answers(t, p, address, "hello from steady")
	if code := p.Stop(); code != 0 {
		t.Errorf("the provider stopped with code %d", code)
	}
	p.Start()
	answers(t, p, address, "hello from steady")
	st := pub.Must("status", "steady", "--json").Object(t)
	if st["state"] != "running" || st["containers"].([]any)[0].(map[string]any)["restarts"] != 0.0 {
		t.Errorf("the pod was restarted: %v", st)
	}
}
