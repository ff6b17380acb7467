package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// repository is a git repository below dir, with a branch main and one that was never
// merged into it.
type repository struct {
	dir, slug string
	// main and stray are commits.
	main, stray string
}

// newRepository commits a static site, signed with the SSH key of a file unless that
// is empty.
func newRepository(t *testing.T, dir, key string) *repository {
	t.Helper()
	r := &repository{dir: dir, slug: "file://" + dir}
	if err := os.MkdirAll(filepath.Join(dir, "site"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(t, "init", "-q", "-b", "main")
	r.main = r.commit(t, "<h1>from a commit of "+filepath.Base(dir)+"</h1>", key)
	r.git(t, "checkout", "-q", "-b", "stray")
	r.stray = r.commit(t, "<h1>a stranger's</h1>", key)
	r.git(t, "checkout", "-q", "main")
	return r
}

func (r *repository) commit(t *testing.T, page, key string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "site", "index.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "add", ".")
	args := []string{"commit", "-q", "-m", "a page"}
	if key != "" {
		args = append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, append(args, "-S")...)
	}
	r.git(t, args...)
	return r.git(t, "rev-parse", "HEAD")
}

func (r *repository) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// keyPair makes an SSH key, and returns its path.
func keyPair(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a@example.org", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	return path
}

// TestDeployFromGit deploys a commit over libp2p: the provider builds it, the publisher
// holds what it says of the build against the slug, the branch and the signer, and what
// is not as asked for never runs.
func TestDeployFromGit(t *testing.T) {
	w := harness.New(t)
	dir := filepath.Dir(w.Write("repos/.keep", ""))
	signer, other := keyPair(t, w.Path("signer")), keyPair(t, w.Path("other"))
	r := newRepository(t, filepath.Join(dir, "site"), signer)
	p := w.Provider("provider", "--git-allow-file", dir)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	deploy := func(slug string, more ...string) []string {
		return append([]string{"deploy", "--git", slug, "--provider", p.Addr(), "--policy", pol, "--path", "site"}, more...)
	}

	pub.Fails(12, []string{"is not signed by a key of --signer"}, deploy(r.slug, "--signer", other+".pub")...)
	pub.Fails(10, []string{"branch"}, deploy(r.slug+"#"+r.stray, "--branch", "main")...)
	pub.Fails(10, []string{"no-such"}, deploy(r.slug+"#no-such")...)
	if pods := harness.Pods(t, p); len(pods) != 0 {
		t.Fatalf("what was refused runs: %v", pods)
	}

	got := pub.Must(deploy(r.slug, "--signer", signer+".pub")...)
	answers(t, p, got.Last(), "from a commit of ")
	for _, want := range []string{r.main[:12], "signed by"} {
		if !strings.Contains(got.Stderr, want) {
			t.Errorf("it does not say %q:\n%s", want, got.Stderr)
		}
	}
	if list := pub.Must("list").Stdout; !strings.Contains(list, r.main[:12]) {
		t.Errorf("list does not show the commit:\n%s", list)
	}
	if status := pub.Must("status", "site").Stdout; !strings.Contains(status, r.main) {
		t.Errorf("status does not show the commit:\n%s", status)
	}

	// The app's build is judged wherever the app is, and an image of this machine has none.
	base, err := os.ReadFile(pol)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name, section string) string { return w.Write(name, string(base)+"provenance: "+section+"\n") }
	good := with("good.yaml", "{required: true, logged: true, repositories: ['"+r.slug+"'], branches: [main]}")
	if r := pub.Must("attest", "--pod", "site", "--policy", good, "--explain"); !strings.Contains(r.Stdout, "ATT-124") || !strings.Contains(r.Stdout, "ATT-121") {
		t.Errorf("the build is not judged:\n%s", r.Stdout)
	}
	bad := with("bad.yaml", "{required: true, repositories: ['"+r.slug+"'], branches: [release]}")
	pub.Fails(12, []string{"ATT-121"}, "attest", "--pod", "site", "--policy", bad)
	pub.Fails(12, []string{"nothing was deployed", "release"}, "deploy", "--git", r.slug, "--provider", p.Addr(), "--policy", bad, "--path", "site")
	if r := pub.Must("attest", p.Addr(), "--policy", good); !strings.Contains(r.Stdout, "builds are not judged") {
		t.Errorf("nobody is told that builds are not judged:\n%s", r.Stdout)
	}
	image := w.Write("image.yaml", "name: other\ncontainers: [{name: web, image: 'oci:nowhere', port: 8080}]\n")
	pub.Fails(12, []string{"provenance.required", "nothing was sent"}, "deploy", image, "--provider", p.Addr(), "--policy", good)
	pub.Must("deploy", "--git", r.slug, "--provider", p.Addr(), "--policy", good, "--path", "site", "--name", "logged")
	pub.Must("delete", "logged")

	second := r.commit(t, "<h1>the next one</h1>", signer)
	answers(t, p, pub.Must(deploy(r.slug, "--signer", signer+".pub")...).Last(), "the next one")
	history := pub.Must("history", "site").Stdout
	for _, want := range []string{r.main[:12], second[:12]} {
		if !strings.Contains(history, want) {
			t.Errorf("history does not show %s:\n%s", want, history)
		}
	}
	plan := pub.Must("plan", r.slug+"#"+r.main[:10], "--path", "site", "--json").Object(t)
	if plan["commit"] != r.main || plan["runtime"] != "static" {
		t.Errorf("plan: %v", plan)
	}
	pub.Must("delete", "site")
}

// TestUp deploys a list of which one cannot be planned and one is of a signer that
// nobody asked for: the others run, and the table says what became of each.
func TestUp(t *testing.T) {
	w := harness.New(t)
	dir := filepath.Dir(w.Write("repos/.keep", ""))
	signer, other := keyPair(t, w.Path("signer")), keyPair(t, w.Path("other"))
	one := newRepository(t, filepath.Join(dir, "one"), signer)
	two := newRepository(t, filepath.Join(dir, "two"), signer)
	foreign := newRepository(t, filepath.Join(dir, "foreign"), other)
	p := w.Provider("provider", "--git-allow-file", dir)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	list := w.Write("repos.yaml", "- {slug: '"+one.slug+"', path: site, name: one}\n- {slug: '"+foreign.slug+"', path: site, name: foreign}\n"+
		"- {slug: 'file://"+dir+"/absent', name: absent}\n- {slug: '"+two.slug+"#main', path: site, name: two}\n")
	got := pub.Fails(12, []string{"2 of 4 apps were not deployed"}, "up", "--file", list, "--provider", p.Addr(), "--policy", pol, "--signer", signer+".pub")
	rows := strings.Split(strings.TrimSpace(got.Stdout), "\n")
	if len(rows) != 5 {
		t.Fatalf("the table:\n%s", got.Stdout)
	}
	for n, want := range []string{"one " + one.main[:12] + " running", "foreign " + foreign.main[:12] + " failed", "absent - failed", "two " + two.main[:12] + " running"} {
		fields := strings.Fields(rows[n+1])
		if got := strings.Join(fields[1:4], " "); got != want {
			t.Errorf("row %d is %q, want %q", n+1, got, want)
		}
		if fields[3] == "running" {
			answers(t, p, fields[4], "from a commit of ")
		}
	}
	if pods := harness.Pods(t, p); len(pods) != 2 {
		t.Errorf("%d pods run: %v", len(pods), pods)
	}
	for _, app := range []string{"one", "two"} {
		pub.Must("delete", app)
	}
}
