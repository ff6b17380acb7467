package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"apocryph/provider/pull"
)

// TestGitConfiguration: the operator configures, who deploys syncs, who reads sees
// it, and nobody sees a secret.
func TestGitConfiguration(t *testing.T) {
	h := newHost(t)
	const secret, password = "a secret of the hook", "a password of the host"
	full := `"git_branch":"main","git_only":true,"allow_rollback":false,"auto":true,"verify":{"mode":"none"},"webhook_secret":"` + secret +
		`","credential":{"username":"bot","password":"` + password + `"}`
	first := h.put(full)
	shown := h.call("GET", gitPath, "").want(t, 200)
	if string(shown.body) != string(first.body) || shown.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Errorf("got %s\nthen %s", first.body, shown.body)
	}
	var got map[string]any
	shown.json(t, &got)
	for name, want := range map[string]any{
		"namespace": "shop.main", "github_repo_path": "acme/metrics", "git_branch": "main", "git_path": "apps", "git_only": true,
		"allow_rollback": false, "auto": true, "credential_set": true, "webhook_secret_set": true, "version": 1.0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for _, r := range []reply{first, shown, h.call("GET", "/openapi.json", "")} {
		if s := string(r.body); strings.Contains(s, secret) || strings.Contains(s, password) || strings.Contains(s, `"bot"`) {
			t.Errorf("a secret is shown: %s", s)
		}
	}
	tag := first.Header.Get("ETag")
	h.call("GET", gitPath, "", "If-None-Match: "+tag).want(t, 304)
	h.call("PUT", gitPath, metrics+"}", jsonType, `If-Match: "other"`).problem(t, 412, "api.precondition")
	second := h.call("PUT", gitPath, metrics+"}", jsonType, "If-Match: "+tag).want(t, 200)
	second.json(t, &got)
	// What is absent is its default, and secrets stay.
	if got["allow_rollback"] != true || got["git_only"] != false || got["credential_set"] != true || got["webhook_secret_set"] != true || got["version"] != 2.0 {
		t.Errorf("got %v", got)
	}
	h.call("DELETE", gitPath, "", "If-Match: "+tag).problem(t, 412, "api.precondition")
	h.call("DELETE", gitPath, "", "If-Match: "+second.Header.Get("ETag")).want(t, 204)
	h.call("GET", gitPath, "").problem(t, 404, "sync.unknown")
	h.call("PUT", gitPath, metrics+"}", jsonType, "If-Match: "+tag).problem(t, 412, "api.precondition")
	if third := h.put(""); third.Header.Get("ETag") == tag {
		t.Error("another configuration has the tag of one that is gone")
	}
}

func TestGitConfigurationRefusals(t *testing.T) {
	h := newHost(t)
	for body, names := range map[string][]string{
		`{}`: {"/github_repo_path"},
		`{"github_repo_path":"acme/x","git_path":"../x","git_branch":"-x","verify":{"mode":"maybe"},"webhook_secret":"short"}`: {"/git_path", "/git_branch", "/verify/mode", "/webhook_secret"},
		`{"github_repo_path":"acme/x","verify":{"mode":"strict"}}`:                                                             {"/verify/keys"},
		`{"github_repo_path":"acme/x","credential":{"password":""}}`:                                                           {"/credential"},
		`{"github_repo_path":"acme/x","colour":"red"}`:                                                                         {"/colour"},
		`{"github_repo_path":"acme/x","verify":{"mode":"none","more":1}}`:                                                      {"/verify/more"},
		`{"github_repo_path":"acme/x","version":1}`:                                                                            {"/version"},
		`{"github_repo_path":"acme/x#main"}`:                                                                                   {"/github_repo_path"},
	} {
		r := h.call("PUT", gitPath, body, jsonType)
		for _, n := range names {
			if r.StatusCode != 400 || !strings.Contains(string(r.body), n) {
				t.Errorf("%s: %d %s, want %s", body, r.StatusCode, r.body, n)
			}
		}
	}
	h.call("PUT", gitPath, "x", "Content-Type: text/plain").problem(t, 415, "api.media_type")
	h.call("GET", gitPath, "").problem(t, 404, "sync.unknown")
}

// TestGitRights: a token that deploys can sync, and neither configure nor look at
// another namespace's.
func TestGitRights(t *testing.T) {
	h := newHost(t)
	h.put("")
	as := func(token, method, path, body string) reply {
		return h.as(h.tcp, method, path, strings.NewReader(body), token, jsonType)
	}
	read, dep, other, parent := h.token("read:shop.main"), h.token("deploy:shop.main"), h.token("deploy:other"), h.token("deploy:shop")
	as(read, "GET", gitPath, "").want(t, 200)
	as(read, "POST", syncPath, "{}").problem(t, 403, "auth.scope", "deploy:shop.main")
	as(dep, "GET", gitPath, "").want(t, 200)
	as(dep, "POST", syncPath, "{}").want(t, 200)
	for _, method := range []string{"PUT", "DELETE"} {
		as(dep, method, gitPath, metrics+"}").problem(t, 403, "auth.scope")
	}
	for _, token := range []string{other, parent} {
		as(token, "GET", gitPath, "").problem(t, 403, "auth.scope")
		as(token, "POST", syncPath, "{}").problem(t, 403, "auth.scope")
	}
	h.as(h.tcp, "POST", syncPath, strings.NewReader("{}"), jsonType).problem(t, 401, "auth.missing")
	h.as(h.tcp, "GET", gitPath, nil).problem(t, 401, "auth.missing")
}

const hookSecret = "sixteen bytes or more"

func hookSum(body string) string {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestWebhookHosts takes a push of each git host without a token, and has the head
// of the branch synced.
func TestWebhookHosts(t *testing.T) {
	const push = `{"ref":"refs/heads/main","after":"ffffffffffffffffffffffffffffffffffffffff","commits":[{"id":"x"}],"repository":{"default_branch":"main"}}`
	for name, headers := range map[string][]string{
		"github": {"X-GitHub-Event: push", "X-GitHub-Delivery: 1", "X-Hub-Signature-256: sha256=" + hookSum(push)},
		"gitea":  {"X-Gitea-Event: push", "X-Gitea-Delivery: 1", "X-Gitea-Signature: " + hookSum(push), "X-GitHub-Event: push", "X-GitHub-Delivery: 1"},
		"gitlab": {"X-Gitlab-Event: Push Hook", "X-Gitlab-Event-UUID: 1", "X-Gitlab-Token: " + hookSecret},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.put(`"webhook_secret":"` + hookSecret + `"`)
			id := h.repo.Commit("main", siteRepo("two"))
			hook := func(body string, headers ...string) reply {
				return h.as(h.tcp, "POST", hookPath, strings.NewReader(body), append(headers, jsonType)...)
			}
			if r := hook(push, headers...).want(t, 202); !strings.Contains(string(r.body), "accepted") {
				t.Errorf("got %s", r.body)
			}
			eventually(t, "the head is synced", func() bool {
				s, err := h.puller.Get(t.Context(), "shop.main")
				return err == nil && s.Commit == id
			})
			if r := hook(push, headers...).want(t, 200); !strings.Contains(string(r.body), "duplicate") {
				t.Errorf("got %s", r.body)
			}
		})
	}
}

// TestWebhookRefusals: nobody who does not know the secret learns or does anything.
func TestWebhookRefusals(t *testing.T) {
	h := newHost(t)
	h.put(`"webhook_secret":"` + hookSecret + `"`)
	const push = `{"ref":"refs/heads/main","repository":{"default_branch":"main"}}`
	event, sum := "X-GitHub-Event: push", "X-Hub-Signature-256: sha256="+hookSum(push)
	hook := func(path, body string, headers ...string) reply {
		return h.as(h.tcp, "POST", path, strings.NewReader(body), headers...)
	}
	unknown := hook("/api/v1/namespaces/other/webhook", push, jsonType, event, sum).problem(t, 403, "webhook.signature")
	for name, headers := range map[string][]string{
		"none": {jsonType}, "unsigned": {jsonType, event}, "wrong": {jsonType, event, "X-Hub-Signature-256: sha256=" + hookSum("x")},
		"sha1 only": {jsonType, event, "X-Hub-Signature: sha1=" + hookSum(push)}, "gitlab": {jsonType, "X-Gitlab-Event: Push Hook", "X-Gitlab-Token: x"},
	} {
		doc := hook(hookPath, push, headers...).problem(t, 403, "webhook.signature")
		if doc["detail"] != unknown["detail"] || doc["hint"] != unknown["hint"] {
			t.Errorf("%s: %v, an unknown namespace is told %v", name, doc, unknown)
		}
	}
	hook(hookPath, push, "Content-Type: application/x-www-form-urlencoded", event, sum).problem(t, 415, "api.media_type")
	hook(hookPath, push+" ", jsonType, event, sum).problem(t, 403, "webhook.signature")
	ping := hook(hookPath, push, jsonType, "X-GitHub-Event: ping", sum).want(t, 200)
	branch := `{"ref":"refs/heads/feature","repository":{"default_branch":"main"}}`
	feature := hook(hookPath, branch, jsonType, event, "X-Hub-Signature-256: sha256="+hookSum(branch)).want(t, 200)
	for _, r := range []reply{ping, feature} {
		if !strings.Contains(string(r.body), "ignored") {
			t.Errorf("got %s", r.body)
		}
	}
	big, err := http.NewRequestWithContext(t.Context(), "POST", "http://provider"+hookPath, strings.NewReader(strings.Repeat(" ", pull.MaxHook+1)))
	if err != nil {
		t.Fatal(err)
	}
	big.Header.Set("Content-Type", "application/json")
	resp, err := h.tcp.Do(big)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != 413 {
		t.Errorf("a body over the limit is answered with %d", resp.StatusCode)
	}
	if h.deploys.count() != 0 {
		t.Error("something was deployed")
	}
}
