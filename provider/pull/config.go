package pull

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"apocryph/attest/commit"
	"apocryph/manifest/direct"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
)

// Modes of [Verify].
const (
	// VerifyNone demands no signature.
	VerifyNone = "none"
	// VerifyHead demands one of the commit that is deployed.
	VerifyHead = "head"
	// VerifyStrict demands one of each commit since the last that was deployed; of the
	// first, of itself alone.
	VerifyStrict = "strict"
)

const (
	// maxKeys bounds, in bytes, the keys of a namespace.
	maxKeys = 64 << 10
	// maxSecret bounds secrets, and minSecret is what cannot be guessed by trying.
	maxSecret = 1024
	minSecret = 16
	maxPath   = 1024
)

// Verify is who has to have signed commits.
type Verify struct {
	Mode string `json:"mode"`
	// Keys are lines of SSH keys, as in an allowed_signers file, and armoured PGP keys.
	Keys string `json:"keys,omitempty"`
}

// Config is the repository of a namespace.
type Config struct {
	Namespace string `json:"namespace"`
	// Repo is "owner/repo" on GitHub, or a slug without a ref.
	Repo string `json:"github_repo_path"`
	// Branch is empty for the repository's default branch.
	Branch string `json:"git_branch,omitempty"`
	// Path has the manifests; empty for all of the repository.
	Path string `json:"git_path,omitempty"`
	// GitOnly refuses every other deploy.
	GitOnly bool `json:"git_only"`
	// AllowRollback lets a sync name a commit that is older than what runs.
	AllowRollback bool `json:"allow_rollback"`
	// Auto looks for new commits from time to time.
	Auto   bool   `json:"auto"`
	Verify Verify `json:"verify"`
	// Credential and WebhookSecret are never shown.
	Credential    *git.Credential `json:"credential,omitempty"`
	WebhookSecret string          `json:"webhook_secret,omitempty"`
	Version       uint64          `json:"version"`
	Created       time.Time       `json:"created_at"`
	Updated       time.Time       `json:"updated_at"`
}

// slug is the repository, without a ref.
func (c Config) slug() (slug.Slug, error) {
	text := c.Repo
	if !strings.Contains(text, ":") {
		text = string(slug.GitHub) + ":" + text
	}
	return slug.Parse(text)
}

// want is a ref of the repository, of the configured branch.
func (c Config) want(ref string) (git.Want, error) {
	s, err := c.slug()
	if err != nil {
		return git.Want{}, err
	}
	s.Ref = ref
	if ref == "" {
		s.Ref = c.Branch
	}
	return git.Want{Slug: s, Branch: c.Branch, OnlyBranches: true, Credential: c.Credential}, nil
}

// check finds all that is wrong with a configuration, and puts it in its one form.
func (c *Config) check() error {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%.80q", got), Want: want})
	}
	if !direct.IsNamespace(c.Namespace) {
		fault("/namespace", c.Namespace, direct.WantNamespace)
	}
	switch s, err := c.slug(); {
	case c.Repo == "":
		fault("/github_repo_path", "", "the repository, as owner/repo")
	case err != nil:
		fault("/github_repo_path", c.Repo, "owner/repo, or a slug such as gl:group/repo: "+status.Public(err).Detail)
	case s.Ref != "":
		fault("/github_repo_path", c.Repo, "a repository without a ref; the branch is git_branch")
	}
	if c.Branch != "" && slug.CheckRef(c.Branch) != nil {
		fault("/git_branch", c.Branch, "the name of a branch")
	}
	c.Path = strings.TrimSuffix(c.Path, "/")
	if c.Path != "" && (!fs.ValidPath(c.Path) || len(c.Path) > maxPath || strings.Contains(c.Path, `\`)) {
		fault("/git_path", c.Path, `a directory in the repository, without "..", or a slash in front`)
	}
	if c.Verify.Mode == "" {
		c.Verify.Mode = VerifyNone
	}
	switch c.Verify.Mode {
	case VerifyNone, VerifyHead, VerifyStrict:
	default:
		fault("/verify/mode", c.Verify.Mode, "none, head or strict")
	}
	switch _, err := commit.ParseKeys([]byte(c.Verify.Keys)); {
	case len(c.Verify.Keys) > maxKeys:
		fault("/verify/keys", "more", fmt.Sprintf("at most %d bytes", maxKeys))
	case c.Verify.Keys == "" && c.Verify.Mode != VerifyNone:
		fault("/verify/keys", "", "the keys of those who may sign, since mode "+c.Verify.Mode+" demands signatures")
	case c.Verify.Keys != "" && err != nil:
		faults = append(faults, status.Fault{Field: "/verify/keys", Got: status.Public(err).Detail, Want: "SSH keys, one a line, or armoured PGP keys"})
	}
	// What is secret is not repeated.
	if n := len(c.WebhookSecret); n > 0 && (n < minSecret || n > maxSecret) {
		faults = append(faults, status.Fault{Field: "/webhook_secret", Got: fmt.Sprintf("%d bytes", n), Want: fmt.Sprintf("%d to %d", minSecret, maxSecret)})
	}
	if k := c.Credential; k != nil && (k.Password == "" || len(k.Password) > maxSecret || len(k.Username) > maxSecret || strings.ContainsAny(k.Username+k.Password, "\x00\r\n")) {
		faults = append(faults, status.Fault{Field: "/credential", Got: "one that no git host takes", Want: "a password or token of one line, and perhaps a username"})
	}
	if len(faults) > 0 {
		return status.Invalid("sync.config", "the namespace's repository", faults)
	}
	return nil
}
