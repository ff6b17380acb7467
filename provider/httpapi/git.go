package httpapi

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"time"

	"apocryph/manifest/direct"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

// Repositories are the repositories of namespaces; *[pull.Puller] is them.
type Repositories interface {
	Get(ctx context.Context, namespace string) (pull.Status, error)
	Put(ctx context.Context, c pull.Config, version uint64) (pull.Status, error)
	Remove(ctx context.Context, namespace string) error
	Sync(ctx context.Context, r pull.Request) (deploy.Deployment, error)
	Hook(ctx context.Context, namespace string, h http.Header, body []byte) (pull.Outcome, error)
}

// gitConfig is the body of PUT /api/v1/namespaces/{namespace}/git. It is the whole
// configuration: what is absent is its default, but for the secrets, which stay
// while the repository does.
type gitConfig struct {
	// Repo is "owner/repo" on GitHub, or a slug such as "gl:group/repo".
	Repo string `json:"github_repo_path"`
	// Branch is the repository's default one where it is empty.
	Branch string `json:"git_branch,omitempty"`
	// Path is the directory that has the manifests.
	Path    string     `json:"git_path,omitempty"`
	GitOnly bool       `json:"git_only,omitempty"`
	Verify  *gitVerify `json:"verify,omitempty"`
	// AllowRollback is true where it is absent.
	AllowRollback *bool `json:"allow_rollback,omitempty"`
	Auto          bool  `json:"auto,omitempty"`
	// Credential and WebhookSecret are never shown again.
	Credential    *gitCredential `json:"credential,omitempty"`
	WebhookSecret string         `json:"webhook_secret,omitempty"`
}

// gitVerify is who has to have signed commits.
type gitVerify struct {
	// Mode is "none", "head" or "strict".
	Mode string `json:"mode"`
	Keys string `json:"keys,omitempty"`
}

// gitCredential opens a private repository.
type gitCredential struct {
	Username string `json:"username,omitempty"`
	Password string `json:"password"`
}

// gitStatus is a namespace's repository as it is shown, without secrets.
type gitStatus struct {
	Namespace        string    `json:"namespace"`
	Repo             string    `json:"github_repo_path"`
	Branch           string    `json:"git_branch"`
	Path             string    `json:"git_path"`
	GitOnly          bool      `json:"git_only"`
	Verify           gitVerify `json:"verify"`
	AllowRollback    bool      `json:"allow_rollback"`
	Auto             bool      `json:"auto"`
	CredentialSet    bool      `json:"credential_set"`
	WebhookSecretSet bool      `json:"webhook_secret_set"`
	// SyncedCommit is the last that was applied as a whole, SyncedAt when.
	SyncedCommit string     `json:"synced_commit,omitempty"`
	SyncedAt     *time.Time `json:"synced_at,omitempty"`
	Version      uint64     `json:"version"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

func gitView(s pull.Status) gitStatus {
	v := gitStatus{
		Namespace: s.Namespace, Repo: s.Repo, Branch: s.Branch, Path: s.Path, GitOnly: s.GitOnly, AllowRollback: s.AllowRollback, Auto: s.Auto,
		Verify: gitVerify{s.Verify.Mode, s.Verify.Keys}, CredentialSet: s.Credential != nil, WebhookSecretSet: s.WebhookSecret != "",
		SyncedCommit: s.Commit, Version: s.Version, CreatedAt: s.Created.UTC(), UpdatedAt: s.Updated.UTC(),
	}
	if at := s.At.UTC(); !s.At.IsZero() {
		v.SyncedAt = &at
	}
	return v
}

// gitTag is the configuration's entity tag, a strong one: a sync changes it too.
func gitTag(s pull.Status) string {
	h := fnv.New64a()
	fmt.Fprint(h, s.Namespace, s.Created.UnixNano(), s.Commit, s.At.UnixNano())
	return fmt.Sprintf(`"%016x-%d"`, h.Sum64(), s.Version)
}

// theNamespace is the one of the path, if the caller may do that in it.
func (c *call) theNamespace(action auth.Action) (string, error) {
	ns := c.r.PathValue("namespace")
	if !direct.IsNamespace(ns) {
		return "", status.Invalid("api.namespace", "namespace", []status.Fault{{Field: "namespace", Got: brief(ns), Want: direct.WantNamespace}})
	}
	return ns, c.caller.May(ns, action)
}

// getGit is for who may read the namespace.
func (c *call) getGit() error {
	ns, err := c.theNamespace(auth.ActionRead)
	if err != nil {
		return err
	}
	s, err := c.api.cfg.Repositories.Get(c.ctx(), ns)
	if err != nil {
		return err
	}
	return c.showGit(s)
}

func (c *call) showGit(s pull.Status) error {
	tag := gitTag(s)
	c.w.Header().Set("ETag", tag)
	if c.r.Method != http.MethodPut && matches(c.r.Header.Values("If-None-Match"), tag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.json(http.StatusOK, gitView(s))
}

// putGit is for the operator alone: git_only and verify restrain those who may
// deploy, and would not if these could take them away.
func (c *call) putGit() error {
	ns, err := c.theNamespace(auth.ActionOperate)
	if err != nil {
		return err
	}
	in := gitConfig{}
	if err := c.decode(&in); err != nil {
		return err
	}
	version, err := c.gitVersion(ns)
	if err != nil {
		return err
	}
	cfg := pull.Config{
		Namespace: ns, Repo: in.Repo, Branch: in.Branch, Path: in.Path, GitOnly: in.GitOnly, Auto: in.Auto,
		AllowRollback: in.AllowRollback == nil || *in.AllowRollback, WebhookSecret: in.WebhookSecret,
	}
	if v := in.Verify; v != nil {
		cfg.Verify = pull.Verify{Mode: v.Mode, Keys: v.Keys}
	}
	if k := in.Credential; k != nil {
		cfg.Credential = &git.Credential{Username: k.Username, Password: k.Password}
	}
	s, err := c.api.cfg.Repositories.Put(c.ctx(), cfg, version)
	if err != nil {
		return err
	}
	return c.showGit(s)
}

// gitVersion is the version that an If-Match asks for, 0 without one.
func (c *call) gitVersion(ns string) (uint64, error) {
	if len(c.r.Header.Values("If-Match")) == 0 {
		return 0, nil
	}
	s, err := c.api.cfg.Repositories.Get(c.ctx(), ns)
	if status.CodeOf(err) == status.NotFound {
		_, err := c.unchanged("none")
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	_, err = c.unchanged(gitTag(s))
	return s.Version, err
}

func (c *call) deleteGit() error {
	ns, err := c.theNamespace(auth.ActionOperate)
	if err != nil {
		return err
	}
	s, err := c.api.cfg.Repositories.Get(c.ctx(), ns)
	if err != nil {
		return err
	}
	if _, err := c.unchanged(gitTag(s)); err != nil {
		return err
	}
	if err := c.api.cfg.Repositories.Remove(c.ctx(), ns); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
