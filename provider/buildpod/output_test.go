package buildpod

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// left is what a job has left, and a file of this machine that it has not.
func hostileTree(t *testing.T, make func(out string)) (scratch, to string) {
	t.Helper()
	scratch, to = t.TempDir(), t.TempDir()
	out := filepath.Join(scratch, outputDir)
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(scratch, "secret"), []byte("of this machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	make(out)
	return scratch, to
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHostileOutput(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func(out string)
		reason string
	}{
		{"a pipe", func(out string) { must(t, unix.Mkfifo(out+"/x", 0o644)) }, "build.files"},
		{"a socket", func(out string) {
			must(t, unix.Mknod(out+"/x", unix.S_IFSOCK|0o644, 0))
		}, "build.files"},
		{"a device", func(out string) { must(t, unix.Mknod(out+"/x", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5)))) }, "build.files"},
		{"a file of holes", func(out string) {
			f, err := os.Create(out + "/x")
			must(t, err)
			must(t, f.Truncate(1<<40))
			must(t, f.Close())
		}, "build.size"},
		{"many files of little", func(out string) {
			for _, n := range []string{"a", "b", "c"} {
				must(t, os.WriteFile(filepath.Join(out, n), make([]byte, 400), 0o644))
			}
		}, "build.size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			scratch, to := hostileTree(t, c.make)
			if err := copyOut(t.Context(), scratch, to, 1000); status.ReasonOf(err) != c.reason || status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("got %v, want %s", err, c.reason)
			}
			size := int64(0)
			must(t, filepath.WalkDir(to, func(_ string, d fs.DirEntry, err error) error {
				if info, ierr := d.Info(); ierr == nil && info.Mode().IsRegular() {
					size += info.Size()
				}
				return err
			}))
			if size > 1001 {
				t.Errorf("%d bytes were copied", size)
			}
		})
	}
}

func TestOutputLinks(t *testing.T) {
	scratch, to := hostileTree(t, func(out string) {
		for name, target := range map[string]string{
			"up": "../secret", "abs": "/etc/passwd", "dir": "..", "loop": "loop", "ok": "tool",
		} {
			must(t, os.Symlink(target, filepath.Join(out, name)))
		}
		must(t, os.WriteFile(out+"/tool", []byte("x"), 0o755))
		must(t, os.Chmod(out+"/tool", 0o4777|fs.ModeSetuid))
		must(t, os.Mkdir(out+"/deep", 0o2777|fs.ModeSetgid))
	})
	if err := copyOut(t.Context(), scratch, to, 1000); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up": "../secret", "abs": "/etc/passwd", "dir": "..", "loop": "loop"} {
		if got, err := os.Readlink(filepath.Join(to, name)); err != nil || got != target {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, mode := range map[string]fs.FileMode{"tool": 0o755, "deep": 0o755 | fs.ModeDir} {
		if st, err := os.Lstat(filepath.Join(to, name)); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	must(t, filepath.WalkDir(to, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, rerr := os.ReadFile(p)
			if rerr != nil || strings.Contains(string(data), "of this machine") {
				t.Errorf("%s: %q, %v", p, data, rerr)
			}
		}
		return err
	}))
}

// TestReplacedOutput: the listing says file, and what is opened is another.
func TestReplacedOutput(t *testing.T) {
	scratch, _ := hostileTree(t, func(out string) { must(t, os.Symlink("../secret", out+"/x")) })
	root, err := os.OpenRoot(filepath.Join(scratch, outputDir))
	must(t, err)
	defer root.Close()
	if f, err := (hostile{root}).Open("x"); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
}

func TestSourceTimes(t *testing.T) {
	dir := t.TempDir()
	tree := fstest.MapFS{"a/b/c": {Data: []byte("x"), Mode: 0o777}, "d": {Mode: 0o600}}
	if err := copyIn(t.Context(), tree, dir); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"a": 0o755 | fs.ModeDir, "a/b": 0o755 | fs.ModeDir, "a/b/c": 0o755, "d": 0o644} {
		st, err := os.Lstat(filepath.Join(dir, sourceDir, name))
		if err != nil || !st.ModTime().Equal(sourceTime) || st.Mode() != mode {
			t.Errorf("%s: %v, %v, %v", name, st.Mode(), st.ModTime(), err)
		}
	}
}
