package source_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// FuzzAdd: whatever two parts are, nothing outside of the staging directory is
// touched, limits hold, only files, directories and inner links come out with
// plain modes, and every refusal is one of the known reasons.
func FuzzAdd(f *testing.F) {
	for _, cases := range [][]hostile{tarCases(f), zipCases(f), otherCases(f)} {
		for _, c := range cases {
			if p := c.parts; len(p[0])+len(p[len(p)-1]) < 8<<10 {
				f.Add("up.bin", p[0], p[len(p)-1])
			}
		}
	}
	plain := makeTar(f, sample...)
	for _, data := range [][]byte{plain, gz(f, plain), zst(f, plain), makeZip(f, sample...), []byte("#!")} {
		f.Add("../x", data, []byte("one file"))
	}
	f.Fuzz(func(t *testing.T, name string, one, two []byte) {
		dir := t.TempDir()
		staging := filepath.Join(dir, "staging")
		for _, d := range []string{staging, filepath.Join(dir, "secret")} {
			if err := os.Mkdir(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "secret", "x"), []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := source.NewTree(staging, tiny)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{one, two} {
			if _, err := tree.Add(t.Context(), name, bytes.NewReader(data)); err != nil && !strings.HasPrefix(status.ReasonOf(err), "files.") {
				t.Errorf("an error without a reason: %v", err)
			}
		}
		if digest, err := tree.Digest(); err == nil {
			again, err := tree.Digest()
			if err != nil || again != digest {
				t.Errorf("the digest is %s, then %s, %v", digest, again, err)
			}
			inspect(t, tree)
		} else if !strings.HasPrefix(status.ReasonOf(err), "files.") {
			t.Errorf("an error without a reason: %v", err)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		left := look(t, dir)
		if len(left) != 3 || left[0] != "d secret rwx------" || left[1] != "f secret/x rw------- untouched" || left[2] != "d staging rwx------" {
			t.Errorf("left: %q", left)
		}
	})
}

func inspect(t *testing.T, tree *source.Tree) {
	var bytes int64
	entries := -1
	err := filepath.WalkDir(tree.Dir(), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		entries++
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch m := info.Mode(); {
		case m.IsRegular() && (m == 0o644 || m == 0o755) && info.Size() <= tiny.FileBytes:
			bytes += info.Size()
		case m.Type() == fs.ModeDir && m.Perm() == 0o755:
		case m.Type() == fs.ModeSymlink:
			real, err := filepath.EvalSymlinks(p)
			if err == nil && real != tree.Dir() && !strings.HasPrefix(real, tree.Dir()+"/") {
				t.Errorf("%s leads to %s", p, real)
			}
		default:
			t.Errorf("%s is %v, %d bytes", p, m, info.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b, e := tree.Size()
	if b != bytes || e != entries || b > tiny.Bytes || e > tiny.Entries {
		t.Errorf("size says %d bytes in %d entries, there are %d in %d", b, e, bytes, entries)
	}
}
