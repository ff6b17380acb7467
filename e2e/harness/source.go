package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// bases assembles base images of builds once for a run, or finds those of an earlier
// one. Where mirrors have replaced what the lock file pins, it pins what they offer.
var bases = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(root(), "bin", "bases")
	if _, err := assemble(dir, nil); err == nil {
		return dir, nil
	}
	dir = filepath.Join(root(), "bin", "bases-of-tests")
	out, err := assemble(dir, []string{"BASES_LOCK=" + dir + ".lock"}, "--refresh")
	if err != nil {
		return "", &buildError{"base images", out}
	}
	return dir, nil
})

func assemble(dir string, env []string, flags ...string) (string, error) {
	cmd := exec.Command("provider/build/bases/build.sh", append(flags, dir)...)
	cmd.Dir, cmd.Env = root(), append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Bases is a directory of base images, as make bases writes it.
func Bases(t *testing.T) string {
	t.Helper()
	dir, err := bases()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Repository makes a git repository of the files below a directory of the module, and of
// more files by path, and returns its directory and the id of its commit. Name is its
// path below the world's directory.
func (w *World) Repository(name, from string, more map[string]string) (dir, commit string) {
	w.t.Helper()
	dir = w.Path(name)
	if from == "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	} else if err := os.CopyFS(dir, os.DirFS(filepath.Join(root(), from))); err != nil {
		w.t.Fatal(err)
	}
	w.Git(dir, "init", "-q", "-b", "main")
	return dir, w.Commit(dir, more)
}

// Commit writes files into a repository and commits all that is there.
func (w *World) Commit(dir string, files map[string]string) string {
	w.t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	w.Git(dir, "add", "-A")
	w.Git(dir, "commit", "-q", "-m", "a change")
	return w.Git(dir, "rev-parse", "HEAD")
}

// Git runs git in a repository and returns what it printed.
func (w *World) Git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(env(w.Path("home")), "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
