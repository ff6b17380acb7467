package pull_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/pull"
)

// TestConfigIsRefused tells all that is wrong, and no secret.
func TestConfigIsRefused(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	for name, c := range map[string]struct {
		config pull.Config
		fields []string
	}{
		"nothing":    {pull.Config{}, []string{"/github_repo_path", "/namespace"}},
		"no slug":    {pull.Config{Namespace: "team", Repo: "owner"}, []string{"/github_repo_path"}},
		"an option":  {pull.Config{Namespace: "team", Repo: "--upload-pack=x/y"}, []string{"/github_repo_path"}},
		"with a ref": {pull.Config{Namespace: "team", Repo: "gh:a/b#main"}, []string{"/github_repo_path"}},
		"several": {pull.Config{
			Namespace: "Team", Repo: "a/b", Branch: "-x", Path: "../up", Verify: pull.Verify{Mode: "sometimes", Keys: "no key"},
			WebhookSecret: "short", Credential: &git.Credential{Username: "a", Password: "canary\nnewline"},
		}, []string{"/credential", "/git_branch", "/git_path", "/namespace", "/verify/keys", "/verify/mode", "/webhook_secret"}},
		"no keys":  {pull.Config{Namespace: "team", Repo: "a/b", Verify: pull.Verify{Mode: "strict"}}, []string{"/verify/keys"}},
		"absolute": {pull.Config{Namespace: "team", Repo: "a/b", Path: "/etc"}, []string{"/git_path"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.Put(t.Context(), c.config, 0)
			refused(t, err, status.InvalidArgument, "sync.config")
			var e *status.Error
			errors.As(err, &e)
			var fields []string
			for _, f := range e.Faults {
				fields = append(fields, f.Field)
				if strings.Contains(f.Got, "canary") || strings.Contains(f.Got, "short") {
					t.Errorf("a secret is repeated: %+v", f)
				}
			}
			slices.Sort(fields)
			if diff := cmp.Diff(c.fields, fields); diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// TestConfigChanges: versions, secrets that stay with their repository, and the end.
func TestConfigChanges(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	_, err := n.Get(t.Context(), "team")
	refused(t, err, status.NotFound, "sync.unknown")
	first, err := n.Put(t.Context(), pull.Config{Namespace: "team", Repo: "a/b", Path: "metrics/", WebhookSecret: secret, Credential: &git.Credential{Password: "token"}}, 0)
	must(t, err)
	if first.Version != 1 || first.Path != "metrics" || first.Verify.Mode != pull.VerifyNone || first.Created.IsZero() {
		t.Errorf("got %+v", first)
	}
	_, err = n.Put(t.Context(), pull.Config{Namespace: "team", Repo: "a/b"}, 7)
	refused(t, err, status.Conflict, "sync.version")
	n.stop()
	n = w.run()
	second, err := n.Put(t.Context(), pull.Config{Namespace: "team", Repo: "a/b"}, 1)
	must(t, err)
	if second.Version != 2 || second.WebhookSecret != secret || second.Credential == nil || !second.Created.Equal(first.Created) || second.Path != "" {
		t.Errorf("got %+v", second)
	}
	from, ok, err := n.Origin(t.Context(), "team")
	must(t, err)
	if !ok || from.Slug != "gh:a/b" || from.Credential == nil {
		t.Errorf("got %+v", from)
	}
	// Who triggers a build names a ref, and the branch stays the namespace's.
	if source, err := from.Git("feature/x"); err != nil || source.Want.Branch != "" || !source.Want.OfDefault || source.Want.Slug.Ref != "feature/x" {
		t.Errorf("got %+v, %v", source, err)
	}
	third, err := n.Put(t.Context(), pull.Config{Namespace: "team", Repo: "gl:c/d"}, 0)
	must(t, err)
	if third.WebhookSecret != "" || third.Credential != nil {
		t.Errorf("the secrets of one host are for another: %+v", third)
	}
	must(t, n.Remove(t.Context(), "team"))
	refused(t, n.Remove(t.Context(), "team"), status.InvalidArgument, "sync.no_repository")
	if _, ok, _ := n.Origin(t.Context(), "team"); ok {
		t.Error("it is still configured")
	}
	if third.Updated.After(time.Now()) {
		t.Error("it was changed in the future")
	}
}
