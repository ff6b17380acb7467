package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/e2e/harness"
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
	pol := with("required: true", repo, branch, signer)
	r := user.Must(d.verify(address, pol)...)
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
	build := user.Must(append(d.verify(address, pol), "--json")...).Object(t)["running"].(map[string]any)["builds"].([]any)[0].(map[string]any)
	if build["commit_sha"] != commit || build["repository"] != up.url() || build["signer"] == "" {
		t.Errorf("got %v", build)
	}

	// What the build has names the same documents that the API serves.
	made := object(t, d.sh(`curl -f $API/api/v1/builds/`+build["build_id"].(string)))
	for _, field := range []string{"image_cid", "provenance_cid", "sbom_cid"} {
		if text := fmt.Sprint(made[field]); !strings.HasPrefix(text, "baf") {
			t.Errorf("%s is %s", field, text)
		}
	}
	if made["provenance_digest"] != build["provenance_digest"] || made["sbom_digest"] != build["sbom_digest"] {
		t.Errorf("the build is %v, verify says %v", made, build)
	}

	// Whoever expects something else is told what is there.
	for name, tt := range map[string]struct {
		policy string
		want   []string
	}{
		"another repository": {with("required: true", fmt.Sprintf("repositories: [%q]", other.url()), branch), []string{"ATT-121", up.url(), other.url()}},
		"another branch":     {with("required: true", repo, "branches: [release]"), []string{"ATT-121", "refs/heads/main", "release"}},
		"another signer":     {with("required: true", repo, branch, fmt.Sprintf("signers: {ssh: [%q]}", bobPub)), []string{"ATT-122"}},
		"another runtime":    {with("required: true", repo, branch, "runtimes: [python]"), []string{"ATT-123", "static", "python"}},
	} {
		t.Run(name, func(t *testing.T) { user.Fails(12, tt.want, d.verify(address, tt.policy)...) })
	}

	// What is served or saved with one byte changed is caught, whichever it is.
	doc, nonce := saved(t, d, address)
	offline := func(doc document) []string {
		t.Helper()
		n++
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"verify", d.w.Write(fmt.Sprintf("document-%d.json", n), string(b)), "--offline", "--nonce", nonce, "--policy", pol}
	}
	if r := user.Must(offline(doc)...); !strings.Contains(r.Stdout, "commit "+commit) || !strings.Contains(r.Stdout, "of the measured log") {
		t.Errorf("as a file the chain is\n%s", r.Stdout)
	}
	other.commit("<h1>other</h1>", bob)
	otherDoc, _ := saved(t, d, d.deployGit(t, "other", other.url(), "main"))
	for name, tt := range map[string]struct {
		change func(document)
		code   string
	}{
		"statement":       {flipped(t, "provenance/0/payload", `"runtime":"static"`, -2), "ATT-120"},
		"commit object":   {flipped(t, "provenance/0/payload", `"content":"`, 40), "ATT-120"},
		"its signature":   {flipped(t, "provenance/0/signatures/0/sig", "", 0), "ATT-120"},
		"receipt":         {flipped(t, "receipt/payload", `"revision"`, 1), "ATT-114"},
		"evidence":        {flipped(t, "result", "", 0), "ATT-0"},
		"log":             {flipped(t, "log/records", "", 0), "ATT-1"},
		"opened build":    {flipped(t, "log/openings/0/opening", "", 0), "ATT-100"},
		"no statement":    {func(d document) { delete(d, "provenance") }, "ATT-120"},
		"another's":       {func(d document) { d["provenance"] = otherDoc["provenance"] }, "ATT-120"},
		"another's log":   {func(d document) { d["log"] = otherDoc["log"] }, "ATT-1"},
		"another receipt": {func(d document) { d["receipt"] = otherDoc["receipt"] }, "ATT-114"},
	} {
		t.Run("changed "+name, func(t *testing.T) {
			changed := maps.Clone(doc)
			tt.change(changed)
			user.Fails(12, []string{tt.code}, offline(changed)...)
		})
	}

	// Who does not take the software's word wants the log beside it.
	strict := with("required: true", "logged: true", repo, branch, signer)
	whole := d.w.Write("whole.json", func() string { b, _ := json.Marshal(doc); return string(b) }())
	user.Must("verify", whole, "--offline", "--nonce", nonce, "--policy", strict)
	bare := maps.Clone(doc)
	delete(bare, "log")
	file := offline(bare)[1]
	user.Must("verify", file, "--offline", "--nonce", nonce, "--policy", pol)
	user.Fails(12, []string{"ATT-124"}, "verify", file, "--offline", "--nonce", nonce, "--policy", strict)

	// The receipt with what the API says of the build; after the next start the same
	// statement has another signature, and the log goes on.
	id := build["build_id"].(string)
	receipt := func() []string {
		doc, _ := saved(t, d, address)
		return []string{
			"verify", d.w.Write("receipt.json", string(doc["receipt"])), "--policy", pol,
			"--provenance", d.w.Write("statement.json", d.sh(`curl -f $API/api/v1/builds/`+id+`/provenance`)),
		}
	}
	if r := user.Must(receipt()...); !strings.Contains(r.Stdout, "commit "+commit) {
		t.Errorf("the receipt's chain is\n%s", r.Stdout)
	}
	if bill := object(t, d.sh(`curl -f $API/api/v1/builds/`+id+`/sbom`)); bill["bomFormat"] != "CycloneDX" {
		t.Errorf("got %v", bill)
	}
	d.Stop()
	before := d.Info.IngressTLS
	d.Start()
	curlrc := d.w.Path("home", ".curlrc")
	b, err := os.ReadFile(curlrc)
	if err != nil {
		t.Fatal(err)
	}
	d.w.Write("home/.curlrc", strings.ReplaceAll(string(b), before, d.Info.IngressTLS))
	harness.Eventually(t, "the pod runs again", func() bool { return user.Run(d.verify(address, pol)...).Exit == 0 })
	if r := user.Must(d.verify(address, pol)...); !strings.Contains(r.Stdout, "commit "+commit) || !strings.Contains(r.Stdout, "of the measured log") {
		t.Errorf("after a start the chain is\n%s", r.Stdout)
	}
	if r := user.Must(receipt()...); !strings.Contains(r.Stdout, "commit "+commit) {
		t.Errorf("after a start the receipt's chain is\n%s", r.Stdout)
	}

	// A commit that nobody signed, files from nowhere, and an image of no build.
	up.commit("<h1>two</h1>", "")
	d.deployGit(t, "site", up.url(), "main")
	user.Fails(12, []string{"ATT-122", "got none"}, d.verify(address, pol)...)
	user.Must(d.verify(address, with("required: true", repo, branch))...)
	up.commit("<h1>three</h1>", bob)
	d.deployGit(t, "site", up.url(), "main")
	user.Fails(12, []string{"ATT-122"}, d.verify(address, pol)...)
	upload := func(name, more, page string) string {
		t.Helper()
		d.w.Write("work/site/index.html", page)
		got := object(t, d.sh(fmt.Sprintf(`tar cf site.tar -C site . && curl -F 'manifest={"name":%q%s}' -F files=@site.tar $API/deploy`, name, more)))
		address, ok := got["url"].(string)
		if !ok {
			t.Fatalf("deploying %s: %v", name, got)
		}
		return address
	}
	user.Fails(12, []string{"ATT-121", "uploaded files"}, d.verify(upload("files", "", "<h1>nobody's</h1>"), pol)...)
	user.Fails(12, []string{"ATT-120"}, d.verify(upload("plain", `,"runtime":"static"`, "<h1>plain</h1>"), with("required: true"))...)
	// The same files make the same image to the bit, so they are that commit.
	if r := user.Must(d.verify(upload("files", "", "<h1>one</h1>"), pol)...); !strings.Contains(r.Stdout, "commit "+commit) {
		t.Errorf("the same files are\n%s", r.Stdout)
	}
}

// verify asks the app behind an address.
func (d *door) verify(address, policy string) []string {
	u, _ := url.Parse(address)
	return []string{"verify", "https://" + u.Hostname(), "--dial", d.Info.IngressTLS, "--policy", policy}
}

// document is what an endpoint answers. What its members are made of stays as it is
// to the byte: envelopes have one form.
type document map[string]json.RawMessage

// saved is the document of an app's endpoint, as curl saves it, and its nonce.
func saved(t *testing.T, d *door, address string) (doc document, nonce string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	nonce = strings.Repeat("ab", attest.NonceSize)
	text := d.sh(`curl -f "$URL"`, "URL=https://"+u.Hostname()+attest.EndpointPath+"?nonce="+nonce)
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %.200q", err, text)
	}
	return doc, nonce
}

// flipped changes one bit of the base64 text at a path such as "log/openings/0/opening":
// n bytes after the end of text in it, or in the middle where text is "".
func flipped(t *testing.T, path, text string, n int) func(document) {
	return func(doc document) {
		t.Helper()
		names := strings.Split(path, "/")
		var v any
		if err := json.Unmarshal(doc[names[0]], &v); err != nil {
			t.Fatal(err)
		}
		for _, name := range names[1:] {
			switch at := v.(type) {
			case map[string]any:
				v = at[name]
			case []any:
				v = at[int(name[0]-'0')]
			}
		}
		old, _ := v.(string)
		b, err := base64.StdEncoding.DecodeString(old)
		at := bytes.Index(b, []byte(text))
		if err != nil || at < 0 || len(b) == 0 {
			t.Fatalf("%v, %q is not in %s", err, text, b)
		}
		if at += len(text) + n; text == "" {
			at = len(b) / 2
		}
		b[at] ^= 1
		doc[names[0]] = bytes.Replace(doc[names[0]], []byte(old), []byte(base64.StdEncoding.EncodeToString(b)), 1)
	}
}
