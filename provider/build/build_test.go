package build

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite testdata")

var amd64 = oci.Platform{OS: "linux", Architecture: "amd64"}

// program is the smallest ELF file with something to load, for a 64-bit
// little-endian machine, and with an interpreter where one is given.
func program(machine uint16, interpreter string) []byte {
	le := binary.LittleEndian
	count := 1
	if interpreter != "" {
		count = 2
	}
	b := make([]byte, 64+56*count)
	copy(b, elfMagic+"\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], machine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], uint16(count))
	le.PutUint32(b[64:], 1)
	if interpreter != "" {
		le.PutUint32(b[120:], 3)
		le.PutUint64(b[128:], uint64(len(b)))
		le.PutUint64(b[152:], uint64(len(interpreter)+1))
		b = append(b, interpreter+"\x00"...)
	}
	return b
}

func newBuilder(t testing.TB) *Builder {
	t.Helper()
	b, err := New(Config{Dir: filepath.Join(t.TempDir(), "build"), Server: []byte("the server\n"), Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func build(t testing.TB, b *Builder, req Request) *Result {
	t.Helper()
	res, err := b.Build(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := res.Close(); err != nil {
			t.Error(err)
		}
	})
	return res
}

func site() fstest.MapFS {
	return fstest.MapFS{
		"public/index.html": {Data: []byte("<h1>hello</h1>\n"), Mode: 0o644},
		"public/a/b.css":    {Data: []byte("b{}"), Mode: 0o600},
		"public/a-b":        {Data: []byte("x"), Mode: 0o600},
		"public/.env":       {Data: []byte("SECRET=1"), Mode: 0o600},
		"package.json":      {Data: []byte("{}"), Mode: 0o644},
	}
}

func app() fstest.MapFS {
	return fstest.MapFS{
		"main":                            {Data: program(62, ""), Mode: 0o644},
		"data/x.txt":                      {Data: []byte("x"), Mode: 0o664},
		"bin/helper":                      {Data: []byte("#!/app/main\n"), Mode: 0o700},
		"bin/helper-ln":                   {Data: []byte("helper"), Mode: fs.ModeSymlink | 0o777},
		strings.Repeat("long/", 30) + "ü": {Data: []byte("y"), Mode: 0o644},
	}
}

// TestGolden holds images to their bytes: an update of the provider that makes
// others of the same upload makes every app's image new. The digests change with
// the module of the authorities.
func TestGolden(t *testing.T) {
	b := newBuilder(t)
	got := map[string][]string{}
	for name, req := range map[string]Request{
		"static": {Runtime: Static, FS: site(), Platform: amd64},
		"binary": {Runtime: Binary, FS: app(), Platform: amd64, Args: []string{"serve", "--x=1"}},
	} {
		res := build(t, b, req)
		got[name] = append([]string{res.Image.Digest, string(res.Image.Config)}, entries(t, res.Image.Layers[1])...)
		got[name] = append(got[name], entries(t, res.Image.Layers[0])...)
	}
	data, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "images.json")
	if *update {
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(data)+"\n"); diff != "" {
		t.Error(diff)
	}
}

// entries lists a layer, whose bytes are checked while they are read.
func entries(t *testing.T, l oci.Layer) (out []string) {
	t.Helper()
	rc, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if err == io.EOF {
			if _, err := io.Copy(io.Discard, rc); err != nil {
				t.Error(err)
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uid != 0 || h.Gid != 0 || h.Uname+h.Gname != "" {
			t.Errorf("%s: %s, %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		out = append(out, fmt.Sprintf("%s %o %s size %d", h.Name, h.Mode, h.Linkname, h.Size))
	}
}

// TestSameInputSameImage: another clock, place and umask change nothing.
func TestSameInputSameImage(t *testing.T) {
	for runtime, tree := range map[Runtime]fstest.MapFS{Static: site(), Binary: app()} {
		var first string
		for i, umask := range []int{0o022, 0o077, 0o002} {
			dir := filepath.Join(t.TempDir(), strings.Repeat("d", i+1))
			old := syscall.Umask(umask)
			for name, f := range tree {
				path := filepath.Join(dir, name)
				must(t, os.MkdirAll(filepath.Dir(path), 0o777))
				if f.Mode&fs.ModeSymlink != 0 {
					must(t, os.Symlink(string(f.Data), path))
					continue
				}
				mode := fs.FileMode(0o666)
				if f.Mode&0o100 != 0 {
					mode = 0o777
				}
				must(t, os.WriteFile(path, f.Data, mode))
				must(t, os.Chtimes(path, time.Unix(int64(i)*1e8, 0), time.Unix(int64(i)*1e8, 5)))
			}
			res := build(t, newBuilder(t), Request{Runtime: runtime, FS: os.DirFS(dir), Platform: amd64})
			syscall.Umask(old)
			if first == "" {
				first = res.Image.Digest
			}
			if res.Image.Digest != first {
				t.Errorf("%s: umask %o gives %s, want %s", runtime, umask, res.Image.Digest, first)
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatic(t *testing.T) {
	b := newBuilder(t)
	file := &fstest.MapFile{Data: []byte("x"), Mode: 0o644}
	for name, tt := range map[string]struct {
		tree     fstest.MapFS
		entry    string
		port     uint16
		serving  string
		warnings int
	}{
		"root":          {fstest.MapFS{"index.html": file, "public/index.html": file}, "", 0, "serving .: it has index.html", 0},
		"public":        {fstest.MapFS{"public/index.html": file, "dist/index.html": file, "README": file}, "", 9000, "serving public: it has index.html", 0},
		"dist":          {fstest.MapFS{"dist/index.html": file}, "", 0, "serving dist: it has index.html", 0},
		"entry":         {fstest.MapFS{"dist/index.html": file, "out/x": file}, "out", 0, "serving out: it is the entry", 1},
		"no index":      {fstest.MapFS{"a.txt": file}, "", 0, "serving .: none of ., public, dist has index.html", 1},
		"hidden is out": {fstest.MapFS{"index.html": file, ".git/config": file, ".well-known/x": file, ".env": file}, "", 0, "serving .: it has index.html", 1},
	} {
		t.Run(name, func(t *testing.T) {
			res := build(t, b, Request{Runtime: Static, FS: tt.tree, Entry: tt.entry, Port: tt.port, Platform: amd64})
			if len(res.Evidence) != 1 || res.Evidence[0] != tt.serving || len(res.Warnings) != tt.warnings {
				t.Errorf("evidence %q, warnings %q", res.Evidence, res.Warnings)
			}
			if tt.port == 0 {
				tt.port = 8080
			}
			var c ocispec.Image
			must(t, json.Unmarshal(res.Image.Config, &c))
			if _, ok := c.Config.ExposedPorts[fmt.Sprint(tt.port, "/tcp")]; !ok || res.Port != tt.port || c.Config.User != nonroot || res.User != nonroot {
				t.Errorf("port %d, config %s", res.Port, res.Image.Config)
			}
			listed := entries(t, res.Image.Layers[1])
			if _, ok := tt.tree[".well-known/x"]; ok && !slices.Contains(listed, "site/.well-known/x 644  size 1") {
				t.Errorf("/.well-known is not in %q", listed)
			}
			for _, e := range listed {
				if strings.Contains(e, ".git") || strings.Contains(e, ".env") {
					t.Errorf("%s is in the image", e)
				}
			}
		})
	}
}

func TestBaseLayerIsShared(t *testing.T) {
	b := newBuilder(t)
	one := build(t, b, Request{Runtime: Binary, FS: app(), Platform: amd64})
	two := build(t, b, Request{Runtime: Binary, FS: fstest.MapFS{"x": {Data: program(62, "")}}, Platform: amd64})
	if one.Image.Layers[0].Digest != two.Image.Layers[0].Digest || one.Image.Layers[1].Digest == two.Image.Layers[1].Digest {
		t.Error("layers are not what they should be")
	}
	if n := strings.Count(string(authorities()), "BEGIN CERTIFICATE"); n < 50 {
		t.Errorf("%d authorities", n)
	}
}

// TestScratch: files are this user's alone, go with Close and after a failure, and
// what a killed process left goes with the next build.
func TestScratch(t *testing.T) {
	b := newBuilder(t)
	must(t, os.MkdirAll(filepath.Join(b.cfg.Dir, "image-old"), 0o755))
	res, err := b.Build(t.Context(), Request{Runtime: Static, FS: site(), Platform: amd64})
	must(t, err)
	must(t, filepath.WalkDir(b.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %s", path, info.Mode())
		}
		return nil
	}))
	if left, _ := os.ReadDir(b.cfg.Dir); len(left) != 1 {
		t.Errorf("%v", left)
	}
	must(t, res.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Build(ctx, Request{Runtime: Static, FS: site(), Platform: amd64}); err == nil {
		t.Error("built after the end")
	}
	if _, err := b.Build(t.Context(), Request{Runtime: Binary, FS: site(), Platform: amd64}); status.CodeOf(err) != status.InvalidArgument {
		t.Error(err)
	}
	if left, _ := os.ReadDir(b.cfg.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNoServer(t *testing.T) {
	b, err := New(Config{Dir: t.TempDir(), Architecture: "amd64"})
	must(t, err)
	_, err = b.Build(t.Context(), Request{Runtime: Static, FS: site(), Platform: amd64})
	if len(embeddedServer) == 0 && status.ReasonOf(err) != "build.server" {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{}); status.ReasonOf(err) != "build.config" {
		t.Errorf("got %v", err)
	}
}
