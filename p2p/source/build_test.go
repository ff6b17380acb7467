package source_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/source"
)

// entry is what the archives of these tests are built from.
type entry struct {
	name, body, link string
	mode             fs.FileMode
}

func file(name, body string) entry    { return entry{name: name, body: body, mode: 0o644} }
func program(name, body string) entry { return entry{name: name, body: body, mode: 0o755} }
func folder(name string) entry        { return entry{name: name + "/", mode: fs.ModeDir | 0o755} }
func symlink(name, to string) entry   { return entry{name: name, link: to, mode: fs.ModeSymlink | 0o777} }

func (e entry) header() *tar.Header {
	h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Typeflag: tar.TypeReg, Size: int64(len(e.body))}
	switch e.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Size = tar.TypeDir, 0
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.link, 0
	}
	return h
}

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var headers []*tar.Header
	var bodies []string
	for _, e := range entries {
		headers, bodies = append(headers, e.header()), append(bodies, e.body)
	}
	return rawTar(t, headers, bodies...)
}

func rawTar(t testing.TB, headers []*tar.Header, bodies ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if i < len(bodies) {
			if _, err := w.Write([]byte(bodies[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeZip(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: []uint16{zip.Store, zip.Deflate}[i%2]}
		if strings.HasSuffix(e.name, "/") {
			h.Method = zip.Store
		}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.body + e.link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func newTree(t testing.TB, l source.Limits) (*source.Tree, string) {
	t.Helper()
	parent := t.TempDir()
	tree, err := source.NewTree(parent, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 && strings.HasPrefix(left[0].Name(), ".staging") {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return tree, parent
}

func add(t testing.TB, tree *source.Tree, name string, data []byte) source.Kind {
	t.Helper()
	kind, err := tree.Add(t.Context(), name, bytes.NewReader(data))
	if err != nil {
		t.Fatalf("adding %s: %v", name, err)
	}
	return kind
}

// look lists a directory of the host: "d path", "f path mode contents", "l path target".
func look(t testing.TB, dir string) []string {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := p[len(dir)+1:]
		switch info.Mode().Type() {
		case fs.ModeDir:
			got = append(got, "d "+name+" "+info.Mode().String()[1:])
		case fs.ModeSymlink:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			got = append(got, "l "+name+" "+to)
		case 0:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			got = append(got, "f "+name+" "+info.Mode().String()[1:]+" "+string(b[:min(len(b), 40)]))
		default:
			t.Errorf("%s is %v", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
