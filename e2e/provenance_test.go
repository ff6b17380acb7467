package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// upstream is a repository with real git, and people who sign.
type upstream struct {
	t         *testing.T
	root, dir string
}

// newUpstream makes a repository below a directory.
func newUpstream(t *testing.T, root, name string) *upstream {
	t.Helper()
	u := &upstream{t, root, filepath.Join(root, name)}
	if err := os.MkdirAll(u.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u.run("git", "init", "-q", "-b", "main", ".")
	return u
}

func (u *upstream) run(name string, args ...string) string {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), name, args...)
	cmd.Dir = u.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + u.root, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		u.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// url names the repository.
func (u *upstream) url() string { return "file://" + u.dir }

// commit makes one of a page, signed with a key unless that is "".
func (u *upstream) commit(page, key string) string {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, "index.html"), []byte(page), 0o644); err != nil {
		u.t.Fatal(err)
	}
	u.run("git", "add", "index.html")
	args := []string{"-c", "gpg.format=ssh", "commit", "-q", "-m", page}
	if key != "" {
		args = append([]string{"-c", "user.signingKey=" + key}, append(args, "-S")...)
	}
	u.run("git", args...)
	return u.run("git", "rev-parse", "HEAD")
}

// key makes a pair of keys for signing, and returns its file and its public half.
func (u *upstream) key(name string) (file, public string) {
	u.t.Helper()
	file = filepath.Join(u.root, name)
	u.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file)
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		u.t.Fatal(err)
	}
	return file, strings.TrimSpace(string(b))
}

// deployGit deploys a site from a repository, and returns its URL.
func (d *door) deployGit(t *testing.T, name, url, ref string) string {
	t.Helper()
	got := d.sh(fmt.Sprintf(`curl -H 'Content-Type: application/json' -d '{"name":%q,"runtime":"static","source":%q,"ref":%q}' $API/deploy`, name, url, ref))
	out := object(t, got)
	if out["url"] == nil {
		t.Fatalf("deploying %s: %s", url, got)
	}
	return out["url"].(string)
}

// TestProvenance is the whole chain, from the address of an app to who signed the
// commit that it is, and a policy that wants another one at each of its ends.
func TestProvenance(t *testing.T) {
	repos := t.TempDir()
	d := openDoor(t, "deploy:*", "--git-allow-file", repos)
	defer d.clean(t)
	up, other := newUpstream(t, repos, "site"), newUpstream(t, repos, "other")
	ann, annPub := up.key("ann")
	bob, bobPub := up.key("bob")
	commit := up.commit("<h1>one</h1>", ann)
	address := d.deployGit(t, "site", up.url(), "main")
	if page := d.sh(`curl "$URL"`, "URL="+address); page != "<h1>one</h1>" {
		t.Errorf("the site is %q", page)
	}

	user := d.w.Publisher("user")
	base := user.Policy(d.Provider)
	n := 0
	// with is the policy of the provider with a section about builds.
	with := func(lines ...string) string {
		n++
		b, err := os.ReadFile(base)
		if err != nil {
			t.Fatal(err)
		}
		return d.w.Write(fmt.Sprintf("policy-%d.yaml", n), string(b)+"provenance:\n  "+strings.Join(lines, "\n  ")+"\n")
	}
	repo, branch, signer := fmt.Sprintf("repositories: [%q]", up.url()), "branches: [main]", fmt.Sprintf("signers: {ssh: [%q]}", annPub)
	verify := func(policy string) []string {
		return []string{"verify", address, "--dial", d.Info.IngressTLS, "--policy", policy}
	}
	pol := with("required: true", repo, branch, signer)
	r := user.Must(verify(pol)...)
	last := -1
	for _, text := range []string{
		"endpoint ", "receipt of ", "pod ", "image sha256:", "provenance sha256:", up.url() + "@refs/heads/main", "commit " + commit, "tree ", "signed by SHA256:",
	} {
		at := strings.LastIndex(r.Stdout, text)
		if at <= last {
			t.Errorf("the chain lacks %q, or has it elsewhere:\n%s", text, r.Stdout)
		}
		last = at
	}
	t.Logf("\n%s%s", r.Stdout, r.Stderr)
	build := user.Must(append(verify(pol), "--json")...).Object(t)["running"].(map[string]any)["builds"].([]any)[0].(map[string]any)
	if build["commit_sha"] != commit || build["repository"] != up.url() || build["signer"] == "" {
		t.Errorf("got %v", build)
	}

	// Whoever expects something else is told what is there.
	for name, tt := range map[string]struct {
		policy string
		want   []string
	}{
		"another repository": {with("required: true", fmt.Sprintf("repositories: [%q]", other.url()), branch), []string{"ATT-171", up.url(), other.url()}},
		"another branch":     {with("required: true", repo, "branches: [release]"), []string{"ATT-171", "refs/heads/main", "release"}},
		"another signer":     {with("required: true", repo, branch, fmt.Sprintf("signers: {ssh: [%q]}", bobPub)), []string{"ATT-172"}},
		"another runtime":    {with("required: true", repo, branch, "runtimes: [python]"), []string{"ATT-173", "static", "python"}},
	} {
		t.Run(name, func(t *testing.T) { user.Fails(12, tt.want, verify(tt.policy)...) })
	}
	_, _ = bob, signer
}
