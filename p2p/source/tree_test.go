package source_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// TestLinksThroughLinks: each link is within by its letters, and what they
// make together is not, in whatever order they come.
func TestLinksThroughLinks(t *testing.T) {
	tests := []struct {
		name  string
		parts []entry
		ok    bool
	}{
		{"up from a link to the root", []entry{symlink("p/q/d", "../.."), symlink("p/q/l", "d/../x")}, false},
		{"the same, the other way round", []entry{symlink("p/q/l", "d/../x"), symlink("p/q/d", "../..")}, false},
		{"two links down and up", []entry{symlink("a/b/c/up", "../.."), symlink("l", "a/b/c/up/../..")}, false},
		{"a circle", []entry{symlink("a", "b"), symlink("b", "a")}, false},
		{"to itself", []entry{symlink("a", "a")}, false},
		{"missing", []entry{symlink("a", "b/c/d")}, true},
		{"missing, and up again", []entry{symlink("a", "b/c/../../d")}, true},
		{"the root", []entry{symlink("a/b", "..")}, true},
		{"a chain", []entry{file("d/f", "x"), symlink("a", "b"), symlink("b", "d/../d"), symlink("c", "a/f")}, true},
		{"below a file", []entry{file("f", "x"), symlink("a", "f/g/..")}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, last := range []string{"digest", "commit"} {
				tree, parent := newTree(t, source.DefaultLimits())
				add(t, tree, "a.tar", makeTar(t, tt.parts...))
				_, err := tree.Digest()
				if last == "commit" {
					tree, parent = newTree(t, source.DefaultLimits())
					add(t, tree, "a.tar", makeTar(t, tt.parts...))
					err = tree.Commit(t.Context(), filepath.Join(parent, "dst"))
				}
				if tt.ok {
					if err != nil {
						t.Errorf("%s: %v", last, err)
					}
					continue
				}
				refused(t, err, source.ReasonUnsafe, "a link to")
				if left := look(t, parent); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

func TestStripComponents(t *testing.T) {
	tests := []struct {
		name   string
		parts  []entry
		n      int
		reason string
		want   []string
	}{
		{"none", []entry{file("a/b/c", "x")}, 0, "", []string{"d a rwxr-xr-x", "d a/b rwxr-xr-x", "f a/b/c rw-r--r-- x"}},
		{"one", []entry{file("a/b/c", "x"), file("a/d", "y")}, 1, "", []string{"d b rwxr-xr-x", "f b/c rw-r--r-- x", "f d rw-r--r-- y"}},
		{"two", []entry{file("a/b/c", "x")}, 2, "", []string{"f c rw-r--r-- x"}},
		{"a file", []entry{file("a", "x")}, 1, source.ReasonRoot, nil},
		{"a link", []entry{symlink("a", "b")}, 1, source.ReasonRoot, nil},
		{"a file beside", []entry{file("a/b", "x"), file("c", "x")}, 1, source.ReasonRoot, nil},
		{"one too many", []entry{file("a/b", "x")}, 2, source.ReasonRoot, nil},
		{"nothing", nil, 1, source.ReasonRoot, nil},
		{"a link that leaves then", []entry{file("a/b", "x"), symlink("a/l", "../a/b")}, 1, source.ReasonUnsafe, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, parent := newTree(t, source.DefaultLimits())
			add(t, tree, "a.zip", makeZip(t, tt.parts...))
			dst := filepath.Join(parent, "dst")
			err := tree.StripComponents(tt.n)
			if err == nil {
				_, entries := tree.Size()
				if tt.reason == "" && entries != len(tt.want) {
					t.Errorf("%d entries, want %d", entries, len(tt.want))
				}
				err = tree.Commit(t.Context(), dst)
			}
			if tt.reason != "" {
				refused(t, err, tt.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, look(t, dst)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCommitOnce(t *testing.T) {
	tree, parent := newTree(t, source.DefaultLimits())
	add(t, tree, "a", []byte("x"))
	if b, err := fs.ReadFile(tree.FS(), "a"); err != nil || string(b) != "x" {
		t.Errorf("a is %q, %v", b, err)
	}
	dst := filepath.Join(parent, "dst")
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	// rename(2) alone would replace an empty directory.
	if err := tree.Commit(t.Context(), dst); status.CodeOf(err) != status.Conflict {
		t.Errorf("committing over a directory: %v", err)
	}
	if diff := cmp.Diff([]string{"d dst rwxr-xr-x"}, look(t, parent)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	tree, parent = newTree(t, source.DefaultLimits())
	add(t, tree, "a", []byte("x"))
	dst = filepath.Join(parent, "dst")
	if err := tree.Commit(t.Context(), dst); err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(); err != nil {
		t.Errorf("closing after the commit: %v", err)
	}
	if _, err := tree.Add(t.Context(), "b", strings.NewReader("x")); err == nil {
		t.Error("adding after the commit works")
	}
	if diff := cmp.Diff([]string{"d dst rwxr-xr-x", "f dst/a rw-r--r-- x"}, look(t, parent)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCanceled(t *testing.T) {
	big := makeTar(t, file("a", noise(1<<20)), file("b", noise(1<<20)))
	for name, data := range map[string][]byte{"tar": big, "tar.gz": gz(t, big), "zip": makeZip(t, file("a", noise(1<<20)), file("b", noise(1<<20))), "file": []byte(noise(1 << 20))} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		r := readerFunc(func(b []byte) (int, error) {
			if n += copy(b[:min(4096, len(b))], data[n:]); n > len(data)/2 {
				cancel()
			}
			return min(4096, len(b)), nil
		})
		tree, parent := newTree(t, source.DefaultLimits())
		_, err := tree.Add(ctx, "x", r)
		if !errors.Is(err, context.Canceled) || n > len(data)*3/4 {
			t.Errorf("%s: %v after %d bytes of %d", name, err, n, len(data))
		}
		if left := look(t, parent); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestBrokenConnection: the connection's error, not one of damaged data.
func TestBrokenConnection(t *testing.T) {
	lost := errors.New("connection lost")
	for _, data := range [][]byte{makeTar(t, file("a", noise(1<<19))), gz(t, makeTar(t, file("a", noise(1<<19)))), zst(t, makeTar(t, file("a", noise(1<<19)))), makeZip(t, file("a", noise(1<<19))), []byte("x")} {
		tree, _ := newTree(t, source.DefaultLimits())
		_, err := tree.Add(t.Context(), "x", io.MultiReader(bytes.NewReader(data[:len(data)*2/3]), iotest.ErrReader(lost)))
		if !errors.Is(err, lost) || status.ReasonOf(err) != "" {
			t.Errorf("got %v", err)
		}
	}
}

func TestSweep(t *testing.T) {
	tree, parent := newTree(t, source.DefaultLimits())
	add(t, tree, "a.tar", makeTar(t, file("d/f", "x")))
	outside := filepath.Join(parent, "outside")
	// What a killed process leaves has no lock.
	dead := filepath.Join(parent, ".staging-123")
	for _, dir := range []string{outside, filepath.Join(dead, "tree", "a")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dead, "tree", "l")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(parent, ".staging-link")); err != nil {
		t.Fatal(err)
	}
	if err := source.Sweep(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead one is there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link leads to: %v", err)
	}
	if err := os.Remove(filepath.Join(parent, ".staging-link")); err != nil {
		t.Errorf("a link of that name: %v", err)
	}
	add(t, tree, "b", []byte("still in use"))
	if err := source.Sweep(filepath.Join(parent, "missing")); err == nil {
		t.Error("sweeping nothing works")
	}
}

// TestDiskFull: on a file system of 1 MiB.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting needs root")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	}()
	for name, data := range map[string][]byte{"file": []byte(noise(2 << 20)), "tar": makeTar(t, file("a", noise(2<<20))), "zip": makeZip(t, file("a", noise(2<<20)))} {
		tree, err := source.NewTree(small, source.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		_, err = tree.Add(t.Context(), "x", bytes.NewReader(data))
		refused(t, err, source.ReasonDiskFull, "no space")
		if strings.Contains(status.Public(err).Detail, small) {
			t.Errorf("%s: a path of the host is told: %v", name, err)
		}
		if left := look(t, small); len(left) > 0 {
			t.Errorf("%s left behind: %q", name, left)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedBeforehand(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/", "a/..", "x\\y", "a\x00", "\xff", strings.Repeat("n", 256)} {
		tree, _ := newTree(t, source.DefaultLimits())
		if _, err := tree.Add(t.Context(), name, strings.NewReader("x")); status.CodeOf(err) != status.InvalidArgument && status.CodeOf(err) != status.ResourceExhausted {
			t.Errorf("%q: %v", name, err)
		}
	}
	if tree, err := source.NewTree(t.TempDir(), source.Limits{}); err == nil {
		t.Errorf("a tree without limits: %v", tree.Close())
	}
	if tree, err := source.NewTree(filepath.Join(t.TempDir(), "missing"), source.DefaultLimits()); err == nil {
		t.Errorf("a tree in no directory: %v", tree.Close())
	}
}

// TestGitArchive: the global header that git writes is passed over.
func TestGitArchive(t *testing.T) {
	tree, _ := newTree(t, source.DefaultLimits())
	add(t, tree, "a.tar", rawTar(t, []*tar.Header{
		{Name: "pax_global_header", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("0", 40)}},
		{Name: "a", Typeflag: tar.TypeReg},
	}))
	if diff := cmp.Diff([]string{"f a rw-r--r-- "}, look(t, tree.Dir())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
