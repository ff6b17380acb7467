package source

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWalkInPasses: a directory whose names do not fit is in the same order.
func TestWalkInPasses(t *testing.T) {
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 600 {
		name := strconv.Itoa(rnd.IntN(1000)) + strings.Repeat("n", rnd.IntN(240)) + strconv.Itoa(i)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if err := os.WriteFile(filepath.Join(dir, name, "in"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var want, got []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if p != dir {
			want = append(want, p[len(dir)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := walker{held: walkBytes, visit: func(name string, _ fs.FileInfo, _ *os.Root) error {
		got = append(got, name)
		return nil
	}}
	if _, more, err := w.least(root, "", walkLeast); err != nil || !more {
		t.Fatalf("one pass is enough: %v", err)
	}
	if err := w.walk(root, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if w.held != walkBytes {
		t.Errorf("%d bytes are still held", w.held-walkBytes)
	}
}

func TestFold(t *testing.T) {
	for _, same := range [][]string{{"K", "k", "\u212a"}, {"é", "É", "e\u0301", "E\u0301"}, {"ς", "σ", "Σ"}, {"a.b/C", "A.B/c"}} {
		for _, s := range same {
			if fold(s) != fold(same[0]) {
				t.Errorf("%q and %q differ", s, same[0])
			}
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"e", "é"}, {"ß", "ss"}, {"ı", "i"}, {"a ", "a"}} {
		if fold(other[0]) == fold(other[1]) {
			t.Errorf("%q and %q are the same", other[0], other[1])
		}
	}
}
