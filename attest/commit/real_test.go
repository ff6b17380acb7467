package commit_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/attest/commit"
)

var update = flag.Bool("update", false, "record what git makes in testdata")

// tool is a git repository, and the programs that sign, with a home of their own.
type tool struct {
	t   *testing.T
	dir string
}

func newTool(t *testing.T) *tool {
	// The socket of gpg-agent has a path of at most 108 bytes.
	dir, err := os.MkdirTemp("", "commit")
	if err != nil {
		t.Fatal(err)
	}
	w := &tool{t, dir}
	t.Cleanup(func() {
		w.run("gpgconf", "--kill", "all")
		os.RemoveAll(dir)
	})
	w.run("git", "init", "-q", "-b", "main", ".")
	return w
}

func (w *tool) run(name string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = w.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "GNUPGHOME=" + w.dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Cleo", "GIT_COMMITTER_EMAIL=cleo@example.org",
	}
	out, err := cmd.Output()
	if err != nil {
		msg := ""
		if e, ok := err.(*exec.ExitError); ok {
			msg = string(e.Stderr)
		}
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, msg)
	}
	return string(out)
}

// signed makes a commit with a key and returns its object.
func (w *tool) signed(format, key string) []byte {
	w.t.Helper()
	w.run("git", "-c", "gpg.format="+format, "-c", "user.signingKey="+key, "commit", "-q", "--allow-empty", "-S", "-m", "signed by "+format+"\n\nmore")
	return []byte(w.run("git", "cat-file", "commit", "HEAD"))
}

func (w *tool) pgp(algo string) (id, public string) {
	w.t.Helper()
	w.run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", algo+" <"+algo+"@example.org>", algo, "sign", "never")
	for line := range strings.Lines(w.run("gpg", "--list-keys", "--with-colons", algo+"@example.org")) {
		if f := strings.Split(line, ":"); f[0] == "fpr" && id == "" {
			id = f[9]
		}
	}
	return id, w.run("gpg", "--armor", "--export", id)
}

// TestRealSignatures has git, ssh-keygen and gpg sign commits. With -update it
// records them for the tests that need no programs.
func TestRealSignatures(t *testing.T) {
	w := newTool(t)
	objects, lists := map[string][]byte{}, map[string]string{}
	for _, k := range [][]string{{"ed25519"}, {"ecdsa", "-b", "384"}, {"rsa", "-b", "2048"}} {
		file := filepath.Join(w.dir, k[0])
		w.run("ssh-keygen", append([]string{"-q", "-N", "", "-C", "", "-f", file, "-t"}, k...)...)
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		objects["ssh-"+k[0]] = w.signed("ssh", file)
		lists["ssh-"+k[0]] = "cleo@example.org namespaces=\"git\" " + string(public)
	}
	for _, algo := range []string{"rsa2048", "ed25519"} {
		id, public := w.pgp(algo)
		objects["pgp-"+algo], lists["pgp-"+algo] = w.signed("openpgp", id), public
	}
	w.run("git", "commit", "-q", "--allow-empty", "-m", "plain")
	objects["unsigned"] = []byte(w.run("git", "cat-file", "commit", "HEAD"))
	w.run("git", "checkout", "-q", "-b", "side", "HEAD~1")
	w.run("git", "commit", "-q", "--allow-empty", "-m", "beside")
	id, _ := w.pgp("rsa3072")
	w.run("git", "-c", "user.signingKey="+id, "tag", "-s", "-m", "a tag", "v1")
	w.run("git", "checkout", "-q", "main")
	w.run("git", "-c", "gpg.format=ssh", "-c", "user.signingKey="+filepath.Join(w.dir, "ed25519"), "merge", "-q", "--no-ff", "-S", "-m", "merge", "v1")
	objects["mergetag"], lists["mergetag"] = []byte(w.run("git", "cat-file", "commit", "HEAD")), lists["ssh-ed25519"]
	head := strings.TrimSpace(w.run("git", "rev-parse", "HEAD"))
	if got := commit.ID(objects["mergetag"]); got != head {
		t.Errorf("ID is %s, git says %s", got, head)
	}
	for name, raw := range objects {
		c, err := commit.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name != "unsigned" {
			keys, err := commit.ParseKeys([]byte(lists[name]))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s, err := commit.Verify(c, keys); err != nil || s.Name == "" || s.Key == "" {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
		}
		if *update {
			for file, text := range map[string]string{name + ".commit": string(raw), name + ".keys": lists[name]} {
				if text != "" {
					if err := os.WriteFile(filepath.Join("testdata", file), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// TestTreeLikeGit compares tree ids with those of git itself.
func TestTreeLikeGit(t *testing.T) {
	w := newTool(t)
	work := t.TempDir()
	for name, text := range map[string]string{"a.b": "1", "a/x": "2", "a0": "3", "a/y/z": "", "ä": "5", "bin/run": "#!/bin/sh\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(work, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(work, "bin/run"), 0o755), os.Symlink("nowhere", filepath.Join(work, "link")), os.MkdirAll(filepath.Join(work, "empty/er"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.run("git", "--work-tree="+work, "add", "-A")
	want := strings.TrimSpace(w.run("git", "write-tree"))
	got, err := commit.Tree(os.DirFS(work))
	if err != nil || got != want {
		t.Errorf("Tree is %s, %v; git says %s", got, err, want)
	}
	if err := os.WriteFile(filepath.Join(work, "a/y/z"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _ := commit.Tree(os.DirFS(work)); got == want {
		t.Error("another content has the same tree")
	}
}
