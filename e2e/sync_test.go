package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/e2e/harness"
	"apocryph/p2p/git/gittest"
)

// syncer is a provider that syncs from a git host in the test.
type syncer struct {
	*harness.Provider
	t    *testing.T
	w    *harness.World
	host *gittest.Server
	repo *gittest.Repo
}

const (
	syncNamespace = "myproject.main"
	syncPath      = "/namespaces/" + syncNamespace + "/sync-from-git"
	configPath    = "/api/v1/namespaces/" + syncNamespace + "/git"
	hookPath      = "/api/v1/namespaces/" + syncNamespace + "/webhook"
	hookSecret    = "a secret of the two of them"
)

func openSyncer(t *testing.T) *syncer {
	host := gittest.New(t)
	w := harness.New(t)
	p := w.Provider("provider", "--git-github-url", host.URL(), "--git-github-api-url", host.URL()+"/api")
	r := &syncer{Provider: p, t: t, w: w, host: host, repo: host.Repo("acme/metrics")}
	t.Cleanup(r.clean)
	return r
}

// clean deletes all apps: a test leaves no pod behind. A deployment whose app answers
// already may be under way for a moment yet.
func (r *syncer) clean() {
	var list struct{ Data []struct{ ID string } }
	c := harness.Socket(r.Info.APISocket)
	harness.JSON(r.t, c, "GET", "/api/v1/apps", &list)
	for _, a := range list.Data {
		harness.Eventually(r.t, "app "+a.ID+" is deleted", func() bool {
			code := harness.JSON(r.t, c, "DELETE", "/api/v1/apps/"+a.ID, nil)
			if code != 204 && code != 409 {
				r.t.Errorf("deleting app %s: %d", a.ID, code)
			}
			return code == 204
		})
	}
}

// sites is a tree of static sites below metrics/, by name and text.
func sites(texts ...string) map[string]string {
	files := map[string]string{"README.md": "sites\n", "elsewhere/x.yaml": "name: elsewhere\nruntime: static\n"}
	for i := 0; i+1 < len(texts); i += 2 {
		files["metrics/"+texts[i]+".yaml"] = "name: " + texts[i] + "\nruntime: static\ndirectory: " + texts[i] + "\n"
		files["metrics/"+texts[i]+"/index.html"] = texts[i+1]
	}
	return files
}

// call is one of the operator's.
func (r *syncer) call(method, path, body string, headers ...string) (int, map[string]any) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := harness.Socket(r.Info.APISocket).Do(req)
	if err != nil {
		return 0, map[string]any{"error": err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, map[string]any{"error": err.Error()}
	}
	out := map[string]any{}
	if len(b) > 0 && json.Unmarshal(b, &out) != nil {
		r.t.Fatalf("%s %s answers %d %.300q", method, path, resp.StatusCode, b)
	}
	return resp.StatusCode, out
}

// configure puts the namespace's repository, with more members.
func (r *syncer) configure(more string) {
	r.t.Helper()
	body := `{"github_repo_path":"acme/metrics","git_path":"metrics/"` + more + `}`
	if code, out := r.call("PUT", configPath, body); code != 200 {
		r.t.Fatalf("configuring: %d %v", code, out)
	}
}

// sync syncs to a ref and wants its commit; the results are NAME:OPERATION.
func (r *syncer) sync(ref, commit string, results ...string) map[string]any {
	r.t.Helper()
	code, d := r.call("POST", syncPath, fmt.Sprintf(`{"ref":%q}`, ref))
	if code != 200 || d["status"] != "succeeded" {
		r.t.Fatalf("syncing %s: %d %v", ref, code, d)
	}
	if got := d["source"].(map[string]any); got["commit_sha"] != commit || got["type"] != "git" {
		r.t.Errorf("syncing %s: the source is %v, want %s", ref, got, commit)
	}
	var got []string
	for _, x := range d["results"].([]any) {
		x := x.(map[string]any)
		got = append(got, fmt.Sprintf("%v:%v", x["name"], x["operation"]))
		if x["status"] != "success" {
			r.t.Errorf("syncing %s: %v", ref, x)
		}
	}
	if strings.Join(got, " ") != strings.Join(results, " ") {
		r.t.Errorf("syncing %s: got %v, want %v", ref, got, results)
	}
	return d
}

// refuses wants a refusal with a reason.
func (r *syncer) refuses(what string, code int, reason string, got int, doc map[string]any) {
	r.t.Helper()
	if got != code || doc["type"] != "urn:apocryph:problem:"+reason {
		r.t.Errorf("%s: got %d %v, want %d %s", what, got, doc, code, reason)
	}
}

func (r *syncer) shows(site, text string) {
	r.t.Helper()
	answers(r.t, r.Provider, "http://"+site+"-myproject-main.localhost/", text)
}

func (r *syncer) gone(site string) {
	r.t.Helper()
	harness.Eventually(r.t, site+" is gone", func() bool {
		code, _ := get(r.t, "http://"+site+"-myproject-main.localhost/", r.Info.Ingress)
		return code == 404
	})
}

// TestSyncFromGit is the pull model from end to end: create, update, delete, leave
// alone, go back, be refused (G1, G2, G4, G5, G7, G8, G12).
func TestSyncFromGit(t *testing.T) {
	r := openSyncer(t)
	code, doc := r.call("POST", syncPath, `{"ref":"abc123"}`)
	r.refuses("no repository", 400, "sync.no_repository", code, doc)
	one := r.repo.Commit("main", sites("red", "red one", "blue", "blue one"))
	r.repo.Branch("abc123", one)
	r.configure(`,"git_branch":"main"`)
	r.sync("abc123", one, "blue/production:create", "red/production:create")
	r.shows("red", "red one")
	r.shows("blue", "blue one")
	two := r.repo.Commit("main", sites("red", "red two", "green", "green two"))
	// It is still the first commit that is asked for.
	r.sync(one[:10], one, "blue/production:noop", "red/production:noop")
	r.sync("main", two, "green/production:create", "red/production:update", "blue/production:delete")
	r.shows("red", "red two")
	r.shows("green", "green two")
	r.gone("blue")

	unmerged := r.repo.Commit("feature", sites("red", "unmerged"), gittest.Parents(two))
	forked := r.host.Repo("acme/metrics").Fork("mallory/metrics").Commit("main", sites("red", "forked"), gittest.Parents(two))
	r.repo.Tag("v1", two)
	for ref, reason := range map[string]string{
		"nowhere": "git.ref_not_found", unmerged: "git.not_on_branch", forked: "git.not_on_branch", "feature": "git.not_on_branch",
		"v1": "git.ref_not_found", "refs/pull/1/head": "slug.invalid",
	} {
		code, doc := r.call("POST", syncPath, fmt.Sprintf(`{"ref":%q}`, ref))
		r.refuses(ref, 400, reason, code, doc)
	}
	bad := sites("red", "red three")
	bad["metrics/broken.yaml"] = "name: [\n"
	r.repo.Commit("main", bad)
	code, doc = r.call("POST", syncPath, `{}`)
	r.refuses("a bad manifest", 400, "sync.manifests", code, doc)
	r.shows("red", "red two")
	r.shows("green", "green two")

	// Back is allowed, until it is not.
	r.sync(one, one, "blue/production:create", "red/production:update", "green/production:delete")
	r.shows("red", "red one")
	four := r.repo.Commit("main", sites("red", "red four"))
	r.configure(`,"git_branch":"main","allow_rollback":false`)
	r.sync(four, four, "red/production:update", "blue/production:delete")
	code, doc = r.call("POST", syncPath, fmt.Sprintf(`{"ref":%q}`, two))
	r.refuses("back", 409, "sync.rollback", code, doc)
	r.shows("red", "red four")
	_, shown := r.call("GET", configPath, "")
	if shown["synced_commit"] != four || shown["synced_at"] == nil {
		t.Errorf("the namespace is %v", shown)
	}
}

// TestSyncGitOnly: a namespace that takes what is in its repository takes nothing
// else (G11).
func TestSyncGitOnly(t *testing.T) {
	r := openSyncer(t)
	head := r.repo.Commit("main", sites("red", "from git"))
	r.configure(`,"git_only":true`)
	d := r.sync("main", head, "red/production:create")
	part := d["results"].([]any)[0].(map[string]any)["deployment_id"].(string)
	_, got := r.call("GET", "/api/v1/deployments/"+part, "")
	app := got["app_id"].(string)
	r.w.Write("work/index.html", "pushed")
	dir := filepath.Dir(r.w.Write("work/manifest.json", `{"name":"red","runtime":"static","namespace":"`+syncNamespace+`","commit_sha":"`+head+`"}`))
	out := r.w.Shell(dir, `curl -s --unix-socket "$SOCKET" -w ' %{http_code}' -F manifest=@manifest.json -F files=@index.html http://localhost/deploy`, "SOCKET="+r.Info.APISocket)
	if !strings.HasSuffix(out, " 403") || !strings.Contains(out, "sync.git_only") {
		t.Errorf("an upload: %s", out)
	}
	_, artifact := r.call("POST", "/api/v1/artifacts", `{"name":"x","content_type":"application/octet-stream","namespace":"`+syncNamespace+`"}`)
	out = r.w.Shell(dir, `curl -s --unix-socket "$SOCKET" -o /dev/null -w '%{http_code}' -H 'Content-Type: application/octet-stream' --data-binary @index.html "http://localhost/api/v1/artifacts/$ID/upload"`,
		"SOCKET="+r.Info.APISocket, "ID="+artifact["id"].(string))
	if out != "200" {
		t.Fatalf("uploading: %s", out)
	}
	for what, call := range map[string][2]string{
		"an artifact":  {"/api/v1/apps/" + app + "/deployments", fmt.Sprintf(`{"artifact_id":%q,"process_type":"tish"}`, artifact["id"])},
		"a trigger":    {"/api/v1/apps/" + app + "/deploy/trigger", `{"ref":"main"}`},
		"a promotion":  {"/api/v1/deployments/" + part + "/promote", `{"environment":"staging"}`},
		"a roll back":  {"/api/v1/deployments/" + part + "/rollback", ``},
		"an image":     {"/deploy", `{"name":"y","runtime":"image","image":"registry.example/y:1","namespace":"` + syncNamespace + `"}`},
		"another slug": {"/deploy", `{"slugs":["gh:acme/metrics"],"namespace":"` + syncNamespace + `"}`},
	} {
		code, doc := r.call("POST", call[0], call[1], "Accept: application/json")
		if what == "another slug" {
			// One that fails does not stop the others.
			if text := fmt.Sprint(doc); !strings.Contains(text, "takes what is in its repository") || strings.Contains(text, "deployed:true") {
				t.Errorf("%s: %d %v", what, code, doc)
			}
			continue
		}
		r.refuses(what, 403, "sync.git_only", code, doc)
	}
	r.shows("red", "from git")
}

// deliver is a webhook as GitHub sends it, by somebody without a token.
func (r *syncer) deliver(id, secret string) int {
	r.t.Helper()
	body := `{"ref":"refs/heads/main","repository":{"default_branch":"main"}}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", "http://"+r.Info.API+hookPath, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": id, "X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestSyncWebhook: a push is served, and one that was acknowledged also by the next
// process.
func TestSyncWebhook(t *testing.T) {
	r := openSyncer(t)
	r.repo.Commit("main", sites("red", "red one"))
	r.configure(`,"webhook_secret":"` + hookSecret + `"`)
	if code := r.deliver("1", "another secret, not theirs"); code != 403 {
		t.Errorf("a forged delivery is answered with %d", code)
	}
	if code := r.deliver("1", hookSecret); code != 202 {
		t.Fatalf("a delivery is answered with %d", code)
	}
	r.shows("red", "red one")
	if code := r.deliver("1", hookSecret); code != 200 {
		t.Errorf("a repeat is answered with %d", code)
	}

	r.repo.Commit("main", sites("red", "red two"))
	free := r.hold(gittest.Refs)
	if code := r.deliver("2", hookSecret); code != 202 {
		t.Fatalf("a delivery is answered with %d", code)
	}
	r.Kill()
	free()
	r.Start()
	r.shows("red", "red two")
}

// hold keeps requests of a kind until they are let go.
func (r *syncer) hold(kind string) (free func()) {
	until := make(chan struct{})
	free = sync.OnceFunc(func() {
		close(until)
		r.host.Before(nil)
	})
	r.t.Cleanup(free)
	r.host.Before(func(k string, _ http.ResponseWriter, req *http.Request) bool {
		if k == kind {
			select {
			case <-until:
			case <-req.Context().Done():
			}
		}
		return false
	})
	return free
}

// TestSyncKilled kills the provider while it reads the commit, and while it applies
// it: what ran goes on, and the next sync does what is left.
func TestSyncKilled(t *testing.T) {
	r := openSyncer(t)
	one := r.repo.Commit("main", sites("red", "red one", "blue", "blue one"))
	r.configure("")
	r.sync("main", one, "blue/production:create", "red/production:create")
	two := r.repo.Commit("main", sites("red", "red two", "blue", "blue two"))

	free := r.hold(gittest.Tarball)
	before := r.host.Count(gittest.Tarball)
	done := make(chan int)
	go func() {
		code, _ := r.call("POST", syncPath, `{"ref":"main"}`)
		done <- code
	}()
	harness.Eventually(t, "the archive is asked for", func() bool { return r.host.Count(gittest.Tarball) > before })
	r.Kill()
	free()
	if code := <-done; code == 200 {
		t.Error("a sync that was killed says that it succeeded")
	}
	r.Start()
	r.shows("red", "red one")
	r.shows("blue", "blue one")
	if _, s := r.call("GET", configPath, ""); s["synced_commit"] != one {
		t.Errorf("the namespace is at %v, want %s", s["synced_commit"], one)
	}

	code, d := r.call("POST", syncPath, `{"ref":"main"}`, "Prefer: respond-async")
	if code != 202 {
		t.Fatalf("got %d %v", code, d)
	}
	r.Kill()
	r.Start()
	if code, group := r.call("GET", "/api/v1/deployments/"+d["id"].(string), ""); code != 200 || group["status"] != "failed" {
		t.Errorf("the deployment that was killed: %d %v", code, group)
	}
	// The parts that were placed are left alone; whichever were not are done now.
	harness.Eventually(t, "all of it is synced", func() bool {
		code, d := r.call("POST", syncPath, `{"ref":"main"}`)
		return code == 200 && d["status"] == "succeeded" && d["source"].(map[string]any)["commit_sha"] == two
	})
	r.shows("red", "red two")
	r.shows("blue", "blue two")
}

// TestSyncMovingBranch moves the branch while its head is read: what is deployed is
// the commit that the answer names.
func TestSyncMovingBranch(t *testing.T) {
	r := openSyncer(t)
	one := r.repo.Commit("main", sites("red", "red one"))
	r.configure("")
	var once sync.Once
	r.host.Before(func(kind string, _ http.ResponseWriter, _ *http.Request) bool {
		if kind == gittest.Tarball {
			once.Do(func() { r.repo.Commit("main", sites("red", "red two")) })
		}
		return false
	})
	r.sync("main", one, "red/production:create")
	r.shows("red", "red one")
}

// TestSyncPrivate reads a private repository with the namespace's credential, which
// nobody sees.
func TestSyncPrivate(t *testing.T) {
	const password = "one that nobody guesses"
	r := openSyncer(t)
	one := r.repo.Commit("main", sites("red", "private"))
	r.repo.Private("bot", password)
	r.configure("")
	code, doc := r.call("POST", syncPath, `{}`)
	r.refuses("without a credential", 400, "git.repository", code, doc)
	r.configure(`,"credential":{"username":"bot","password":"wrong"}`)
	if code, doc = r.call("POST", syncPath, `{}`); code != 403 && code != 400 {
		t.Errorf("with a wrong credential: %d %v", code, doc)
	}
	r.configure(`,"credential":{"username":"bot","password":"` + password + `"}`)
	d := r.sync("main", one, "red/production:create")
	r.shows("red", "private")
	_, shown := r.call("GET", configPath, "")
	if text := fmt.Sprint(d, shown); shown["credential_set"] != true || strings.Contains(text, password) {
		t.Errorf("shown as %v", text)
	}
	if strings.Contains(r.Log(), password) {
		t.Error("the password is in the log")
	}
}

// TestSyncSigned demands signatures of every commit since the last sync.
func TestSyncSigned(t *testing.T) {
	r := openSyncer(t)
	key := r.w.Path("key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signed := gittest.Signed(func(payload []byte) string {
		cmd := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", key)
		cmd.Stdin = strings.NewReader(string(payload))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
	one := r.repo.Commit("main", sites("red", "red one"), signed)
	allowed, err := json.Marshal("ada@example.org " + string(public))
	if err != nil {
		t.Fatal(err)
	}
	r.configure(`,"verify":{"mode":"strict","keys":` + string(allowed) + `}`)
	d := r.sync("main", one, "red/production:create")
	if signer, _ := d["source"].(map[string]any)["signer"].(string); !strings.HasPrefix(signer, "SHA256:") {
		t.Errorf("the signer is %q", signer)
	}
	r.repo.Commit("main", sites("red", "unsigned"))
	code, doc := r.call("POST", syncPath, `{}`)
	r.refuses("unsigned", 403, "sync.signature", code, doc)
	r.repo.Commit("main", sites("red", "signed on top"), signed)
	code, doc = r.call("POST", syncPath, `{}`)
	r.refuses("unsigned below", 403, "sync.signature", code, doc)
	r.shows("red", "red one")
}
