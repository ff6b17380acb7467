package pull_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
	"apocryph/provider/providertest"
	"apocryph/provider/pull"
)

const secret = "a secret of a webhook"

// hook is a delivery of a program.
type hook struct {
	program, event, delivery, ref, key string
	fault                              func(h http.Header, body []byte) []byte
}

func (k hook) make() (http.Header, []byte) {
	body := fmt.Appendf(nil, `{"ref":%q,"after":"ignored","repository":{"default_branch":"main"}}`, k.ref)
	mac := hmac.New(sha256.New, []byte(k.key))
	mac.Write(body)
	sum := hex.EncodeToString(mac.Sum(nil))
	h := http.Header{}
	switch k.program {
	case "github":
		h.Set("X-GitHub-Event", k.event)
		h.Set("X-GitHub-Delivery", k.delivery)
		h.Set("X-Hub-Signature-256", "sha256="+sum)
	case "gitea":
		h.Set("X-Gitea-Event", k.event)
		h.Set("X-GitHub-Event", k.event)
		h.Set("X-Gitea-Delivery", k.delivery)
		h.Set("X-Gitea-Signature", sum)
		h.Set("X-Hub-Signature-256", "sha256=of something else")
	case "gitlab":
		h.Set("X-Gitlab-Event", map[string]string{"push": "Push Hook"}[k.event])
		h.Set("X-Gitlab-Event-UUID", k.delivery)
		h.Set("X-Gitlab-Token", k.key)
	}
	if k.fault != nil {
		body = k.fault(h, body)
	}
	return h, body
}

// TestWebhook: an authentic push to the branch is a hint, once; anything else is
// none.
func TestWebhook(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.WebhookSecret = secret })
	push := hook{event: "push", ref: "refs/heads/main", key: secret}
	for name, c := range map[string]struct {
		change func(*hook)
		want   string
		reason string
	}{
		"push":         {func(*hook) {}, "accepted", ""},
		"again":        {func(h *hook) { h.delivery = "twice" }, "duplicate", ""},
		"other branch": {func(h *hook) { h.ref = "refs/heads/feature" }, "ignored", ""},
		"tag":          {func(h *hook) { h.ref = "refs/tags/main" }, "ignored", ""},
		"ping":         {func(h *hook) { h.event = "ping" }, "ignored", ""},
		"wrong secret": {func(h *hook) { h.key = "another secret of somebody" }, "", "webhook.signature"},
		"empty secret": {func(h *hook) { h.key = "" }, "", "webhook.signature"},
		"another body": {func(h *hook) {
			h.fault = func(h http.Header, b []byte) []byte { h.Del("X-Gitlab-Token"); return append(b, ' ') }
		}, "", "webhook.signature"},
		"unsigned": {func(h *hook) {
			h.fault = func(h http.Header, b []byte) []byte {
				for _, name := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"} {
					h.Del(name)
				}
				return b
			}
		}, "", "webhook.signature"},
		"no JSON": {func(h *hook) {
			h.fault = func(h http.Header, _ []byte) []byte {
				mac := hmac.New(sha256.New, []byte(secret))
				mac.Write([]byte("{"))
				sum := hex.EncodeToString(mac.Sum(nil))
				for _, name := range []string{"X-Hub-Signature-256", "X-Gitea-Signature"} {
					if h.Get(name) != "" {
						h.Set(name, strings.TrimSuffix("sha256=", map[bool]string{true: "sha256="}[name == "X-Gitea-Signature"])+sum)
					}
				}
				return []byte("{")
			}
		}, "", "webhook.body"},
	} {
		for _, program := range []string{"github", "gitea", "gitlab"} {
			t.Run(name+", "+program, func(t *testing.T) {
				h := push
				h.program, h.delivery = program, name+program
				c.change(&h)
				if h.delivery == "twice" {
					h.delivery += program
					first := h
					head, body := first.make()
					_, err := n.Hook(t.Context(), "team", head, body)
					must(t, err)
				}
				if program == "gitlab" && name == "ping" {
					h.event = "nothing"
				}
				head, body := h.make()
				if program == "gitlab" && name == "ping" {
					head.Set("X-Gitlab-Event", "Issue Hook")
				}
				got, err := n.Hook(t.Context(), "team", head, body)
				if got.Status != c.want || status.ReasonOf(err) != c.reason {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
	// Of another namespace, and of one without a secret, it is the same answer.
	h := push
	h.program, h.delivery = "github", "elsewhere"
	head, body := h.make()
	_, err := n.Hook(t.Context(), "nobody", head, body)
	refused(t, err, status.PermissionDenied, "webhook.signature")
}

// synced waits until a namespace is at a commit.
func (n *node) synced(ctx context.Context, commit string) {
	n.w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := n.Get(ctx, "team")
		must(n.w.t, err)
		if s.Commit == commit {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.w.t.Fatalf("it is at %q, want %q", s.Commit, commit)
		}
	}
}

// TestHintIsFollowed: what was acknowledged is synced, to the head and not to what
// the delivery says, also by the next process.
func TestHintIsFollowed(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	first := r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.WebhookSecret = secret })
	send := func(n *node, delivery string) {
		h := hook{program: "github", event: "push", ref: "refs/heads/main", key: secret, delivery: delivery}
		head, body := h.make()
		_, err := n.Hook(t.Context(), "team", head, body)
		must(t, err)
	}
	send(n, "1")
	n.synced(t.Context(), first)

	second := r.Commit("main", two("apps/shop/main.py", "print(2)\n"))
	w.server.Fail(503, gittest.Refs)
	send(n, "2")
	n.stop()
	w.server.Before(nil)
	n = w.run()
	n.synced(t.Context(), second)

	// Also where the change was under way already.
	third := r.Commit("main", two("apps/shop/main.py", "print(3)\n"))
	w.builds = make(chan string)
	send(n, "3")
	<-w.builds
	n.stop()
	w.builds = nil
	n = w.run()
	n.synced(t.Context(), third)
}

// TestAuto looks at the branch by itself.
func TestAuto(t *testing.T) {
	w := newWorld(t)
	w.every = 20 * time.Millisecond
	r := w.server.Repo("acme/app")
	first := r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.Auto = true })
	n.synced(t.Context(), first)
	n.synced(t.Context(), r.Commit("main", two("apps/shop/main.py", "print(2)\n")))
}

func FuzzHook(f *testing.F) {
	f.Add("push", "sha256=00", []byte(`{"ref":"refs/heads/main"}`))
	f.Add("Push Hook", secret, []byte(`{`))
	p := pull.New(pull.Settings{Documents: providertest.NewDocuments(), Now: time.Now})
	_, err := p.Put(context.Background(), pull.Config{Namespace: "team", Repo: "a/b", WebhookSecret: secret}, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, event, signature string, body []byte) {
		for _, names := range [][2]string{{"X-GitHub-Event", "X-Hub-Signature-256"}, {"X-Gitea-Event", "X-Gitea-Signature"}, {"X-Gitlab-Event", "X-Gitlab-Token"}} {
			h := http.Header{names[0]: {event}, names[1]: {signature}}
			out, err := p.Hook(t.Context(), "team", h, body)
			if signature != secret && err == nil {
				t.Errorf("%q was authentic", signature)
			}
			if _, bad := json.Marshal(out); bad != nil {
				t.Error(bad)
			}
		}
	})
}
