package pull

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"apocryph/proto/status"
)

const (
	// MaxHook bounds the body of a webhook: GitHub sends at most 25 MB, of which a
	// push with its cap of 2048 commits has some 5.
	MaxHook = 8 << 20
	// keptDeliveries are remembered to tell a repeat; a host repeats within hours.
	keptDeliveries = 128
	maxDelivery    = 128
)

// Outcome is what became of a webhook.
type Outcome struct {
	// Status is "accepted", "duplicate" or "ignored".
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// forge is one program's way to send webhooks.
type forge struct {
	event, delivery, signature, prefix string
	// token says that the signature is the secret itself.
	token bool
	// push is the event of a push.
	push string
}

// forges have different headers. GitHub: "Validating webhook deliveries"; Gitea and
// Forgejo send GitHub's as well, of which their own come first here; GitLab:
// "Webhooks", secret token.
var forges = []forge{
	{event: "X-Gitea-Event", delivery: "X-Gitea-Delivery", signature: "X-Gitea-Signature", push: "push"},
	{event: "X-GitHub-Event", delivery: "X-GitHub-Delivery", signature: "X-Hub-Signature-256", prefix: "sha256=", push: "push"},
	{event: "X-Gitlab-Event", delivery: "X-Gitlab-Event-UUID", signature: "X-Gitlab-Token", token: true, push: "Push Hook"},
}

// errHook is one answer for a namespace without a secret, an unknown one and a wrong
// signature: nobody learns which.
func errHook() error {
	return status.New(status.PermissionDenied, "webhook.signature", "the webhook is not signed with the namespace's secret").
		WithHint("configure webhook_secret, and the same secret at the git host")
}

// Hook takes a webhook. An authentic push to the configured branch is a hint to
// sync to the branch's head: nothing else of the body is used.
func (p *Puller) Hook(ctx context.Context, namespace string, h http.Header, body []byte) (Outcome, error) {
	i := slices.IndexFunc(forges, func(f forge) bool { return h.Get(f.event) != "" && h.Get(f.signature) != "" })
	s, ok := p.names.get(namespace)
	secret := s.WebhookSecret
	if i < 0 {
		return Outcome{}, errHook()
	}
	f := forges[i]
	if !ok || secret == "" {
		// The work of this forge's comparison is done in any case: how long it takes
		// tells nothing.
		f.authentic("no secret has these letters", h, body)
		return Outcome{}, errHook()
	}
	if !f.authentic(secret, h, body) {
		return Outcome{}, errHook()
	}
	if h.Get(f.event) != f.push {
		return Outcome{"ignored", "event " + clip(h.Get(f.event)) + " is no push"}, nil
	}
	var push struct {
		Ref        string `json:"ref"`
		Repository struct {
			Default string `json:"default_branch"`
		} `json:"repository"`
		Project struct {
			Default string `json:"default_branch"`
		} `json:"project"`
	}
	if err := json.Unmarshal(body, &push); err != nil {
		return Outcome{}, status.New(status.InvalidArgument, "webhook.body", "the body is no JSON of a push")
	}
	branch := s.Branch
	if branch == "" {
		branch = push.Repository.Default + push.Project.Default
	}
	// Without a default branch in the body any push may be one to it.
	if branch != "" && push.Ref != "refs/heads/"+branch {
		return Outcome{"ignored", clip(push.Ref) + " is not the namespace's branch " + clip(branch)}, nil
	}
	return p.take(ctx, namespace, clip(h.Get(f.delivery)))
}

// take makes a hint of a delivery, durable before it is acknowledged.
func (p *Puller) take(ctx context.Context, namespace, delivery string) (Outcome, error) {
	out := Outcome{Status: "accepted"}
	_, err := p.names.change(ctx, namespace, func(s *state, known bool) error {
		if !known {
			return errHook()
		}
		if delivery != "" && slices.Contains(s.Deliveries, delivery) {
			out = Outcome{"duplicate", "delivery " + delivery + " was taken before"}
			return nil
		}
		s.Hints++
		s.Deliveries = append(s.Deliveries, delivery)
		s.Deliveries = s.Deliveries[max(0, len(s.Deliveries)-keptDeliveries):]
		return nil
	})
	if err != nil {
		return Outcome{}, err
	}
	p.wake()
	return out, nil
}

func (f forge) authentic(secret string, h http.Header, body []byte) bool {
	got := h.Get(f.signature)
	if f.token {
		a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(got, f.prefix))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return err == nil && hmac.Equal(sum, mac.Sum(nil))
}

// clip is a text of a stranger, for an answer.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), maxDelivery)]
}
