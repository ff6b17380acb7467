package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// World is the place of one test.
type World struct {
	t   *testing.T
	Dir string
	// providerBin and publisherBin are the programs.
	providerBin, publisherBin string
	// trusted is a file of certificates; see [World.Trust].
	trusted string
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "apocryph-e2e")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"provider", "publisher"} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "embedrunc", "-o", filepath.Join(dir, name), "./cmd/"+name)
		cmd.Dir = root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &buildError{name, string(out)}
		}
	}
	return dir, nil
})

type buildError struct{ name, out string }

func (e *buildError) Error() string { return "building " + e.name + ": " + e.out }

// Forget removes the programs that were built; call it from TestMain.
func Forget() {
	if dir, err := build(); err == nil {
		_ = os.RemoveAll(dir)
	}
}

// root is the module's directory.
func root() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	panic("harness: internal error: no go.mod above the working directory")
}

// New makes a world. Its directory is short and can be passed through by the
// users of containers, unlike t.TempDir.
func New(t *testing.T) *World {
	t.Helper()
	bins, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "apo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("something is left in %s: %v", dir, err)
		}
	})
	return &World{t: t, Dir: dir, providerBin: filepath.Join(bins, "provider"), publisherBin: filepath.Join(bins, "publisher")}
}

// Path is a path below the world's directory.
func (w *World) Path(elem ...string) string {
	return filepath.Join(append([]string{w.Dir}, elem...)...)
}

// Write writes a file below the world's directory and returns its path.
func (w *World) Write(name, content string) string {
	w.t.Helper()
	path := w.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// env is an environment without anything of the caller's that could matter.
func env(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
}

// Eventually waits until ok, polling, and fails the test after a minute. It may be called
// when the test ends, too.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
