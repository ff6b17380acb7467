package source_test

import (
	"archive/tar"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"apocryph/p2p/source"
)

var sample = []entry{
	folder("app"),
	program("app/run.sh", "#!/bin/sh\nexec ./main\n"),
	file("app/index.html", "<h1>hello</h1>"),
	file("app/index.htm", strings.Repeat("x", 3000)),
	file("app/empty", ""),
	file("app/ünïcode ☃.txt", "snow"),
	folder("app/none"),
	symlink("app/latest", "index.html"),
	symlink("app/up", "../app/none/../run.sh"),
	symlink("app/later", "not-there-yet"),
	file("app.conf", "order: '.' is before '/'"),
	file("deep/a/b/c/d/e/"+strings.Repeat("n", 120)+"/f", "long name"),
}

var sampleTree = []string{
	"d app rwxr-xr-x",
	"f app/empty rw-r--r-- ",
	"f app/index.htm rw-r--r-- " + strings.Repeat("x", 40),
	"f app/index.html rw-r--r-- <h1>hello</h1>",
	"l app/later not-there-yet",
	"l app/latest index.html",
	"d app/none rwxr-xr-x",
	"f app/run.sh rwxr-xr-x #!/bin/sh\nexec ./main\n",
	"l app/up ../app/none/../run.sh",
	"f app/ünïcode ☃.txt rw-r--r-- snow",
	"f app.conf rw-r--r-- order: '.' is before '/'",
	"d deep rwxr-xr-x", "d deep/a rwxr-xr-x", "d deep/a/b rwxr-xr-x", "d deep/a/b/c rwxr-xr-x", "d deep/a/b/c/d rwxr-xr-x", "d deep/a/b/c/d/e rwxr-xr-x",
	"d deep/a/b/c/d/e/" + strings.Repeat("n", 120) + " rwxr-xr-x",
	"f deep/a/b/c/d/e/" + strings.Repeat("n", 120) + "/f rw-r--r-- long name",
}

// goldenDigest was computed from the description at Digest, by other code.
const goldenDigest = "sha256:47ce90e35619326e39cb09564f47878aa121b1cec150518bef8c1f694146038f"

// TestSameTree: one tree, one digest, whatever it came in, in which order and
// under which umask.
func TestSameTree(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 4 {
		entries := append([]entry(nil), sample...)
		if round > 0 {
			rnd.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		}
		plain := makeTar(t, entries...)
		for kind, data := range map[source.Kind][]byte{
			source.KindTar: plain, source.KindTarGz: gz(t, plain), source.KindTarZst: zst(t, plain), source.KindZip: makeZip(t, entries...),
		} {
			tree, parent := newTree(t, source.DefaultLimits())
			if got := add(t, tree, "misleading.zip.tar", data); got != kind {
				t.Errorf("kind is %s, want %s", got, kind)
			}
			got, err := tree.Digest()
			if err != nil || got != goldenDigest {
				t.Errorf("%s, round %d: digest %s, %v; want %s", kind, round, got, err, goldenDigest)
			}
			if n, e := tree.Size(); n != 3073 || e != len(sampleTree) {
				t.Errorf("size is %d bytes in %d entries", n, e)
			}
			dst := filepath.Join(parent, "done")
			if err := tree.Commit(t.Context(), dst); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sampleTree, look(t, dst)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
		}
	}
}

func TestKinds(t *testing.T) {
	plain := makeTar(t, file("a", "b"))
	v7 := append([]byte(nil), plain...)
	clear(v7[257:265])
	sum := 0
	for i, b := range v7[:512] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int(b)
	}
	copy(v7[148:156], []byte{'0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' ', ' ', ' '})
	skippable := []byte("\x53\x2a\x4d\x18\x04\x00\x00\x00skip")
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	big := makeTar(t, file("a", string(noise)))
	tests := []struct {
		name string
		data []byte
		kind source.Kind
	}{
		{"tar", plain, source.KindTar},
		{"tar without magic", v7, source.KindTar},
		{"tar with padding", join(plain, make([]byte, 10240)), source.KindTar},
		{"tar.gz", gz(t, plain), source.KindTarGz},
		{"tar.gz in two members", join(gz(t, plain[:700]), gz(t, plain[700:])), source.KindTarGz},
		{"tar.gz whose first member has 100 bytes", join(gz(t, plain[:100]), gz(t, plain[100:])), source.KindTarGz},
		{"tar.gz with zeros behind", join(gz(t, plain), make([]byte, 999)), source.KindTarGz},
		{"tar.zst", zst(t, plain), source.KindTarZst},
		{"tar.zst of more than a block", zst(t, big, zstd.WithEncoderLevel(zstd.SpeedBestCompression)), source.KindTarZst},
		{"tar.zst in two frames", join(zst(t, plain[:700]), zst(t, plain[700:])), source.KindTarZst},
		{"tar.zst behind a skippable frame", join(skippable, zst(t, plain)), source.KindTarZst},
		{"zip", makeZip(t, file("a", "b")), source.KindZip},
		{"zip without entries", makeZip(t), source.KindZip},
		{"file", []byte("hello"), source.KindFile},
		{"no bytes", nil, source.KindFile},
		{"gzip of a file", gz(t, []byte("hello")), source.KindFile},
		{"gzip of a gzip of a tar", gz(t, gz(t, plain)), source.KindFile},
		{"zstd of a file", zst(t, []byte("hello")), source.KindFile},
		{"tar without entries", makeTar(t), source.KindFile},
		{"text that begins like bzip2", []byte("BZh is short"), source.KindFile},
		{"zip behind a program", join([]byte("#!/bin/sh\n"), makeZip(t, file("a", "b"))), source.KindFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, _ := newTree(t, source.DefaultLimits())
			if got := add(t, tree, "../up/up.bin", tt.data); got != tt.kind {
				t.Errorf("kind is %s, want %s", got, tt.kind)
			}
			if tt.kind == source.KindFile {
				b, err := os.ReadFile(filepath.Join(tree.Dir(), "up.bin"))
				if err != nil || string(b) != string(tt.data) {
					t.Errorf("stored %d bytes of %d: %v", len(b), len(tt.data), err)
				}
			}
		})
	}
}

func TestSeveralParts(t *testing.T) {
	tree, _ := newTree(t, source.DefaultLimits())
	add(t, tree, "a.tar", makeTar(t, folder("site"), file("site/a", "1")))
	add(t, tree, "b.zip", makeZip(t, folder("site"), file("site/b", "2"), symlink("site/c", "a")))
	add(t, tree, "main", []byte("\x7fELF…"))
	add(t, tree, "run", []byte("#!/bin/sh"))
	add(t, tree, "x", []byte("#"))
	add(t, tree, "c.tar", rawTar(t, []*tar.Header{{Name: "copy", Typeflag: tar.TypeLink, Linkname: "./main"}}))
	want := []string{
		"f copy rwxr-xr-x \x7fELF…", "f main rwxr-xr-x \x7fELF…", "f run rwxr-xr-x #!/bin/sh", "d site rwxr-xr-x",
		"f site/a rw-r--r-- 1", "f site/b rw-r--r-- 2", "l site/c a", "f x rw-r--r-- #",
	}
	if diff := cmp.Diff(want, look(t, tree.Dir())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n, e := tree.Size(); n != 7+7+9+1+1+1 || e != len(want) {
		t.Errorf("size is %d bytes in %d entries", n, e)
	}
	// A copy, not a second name.
	if err := os.WriteFile(filepath.Join(tree.Dir(), "copy"), []byte("other"), 0); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(tree.Dir(), "main")); err != nil || string(b) != "\x7fELF…" {
		t.Errorf("main is %q, %v", b, err)
	}
}

// TestModes: of a mode only "executable" stays, and nothing of owners.
func TestModes(t *testing.T) {
	tree, _ := newTree(t, source.DefaultLimits())
	add(t, tree, "a.tar", rawTar(t, []*tar.Header{
		{Name: "setuid", Typeflag: tar.TypeReg, Mode: 0o6755, Uid: 12, Gid: 34, Uname: "x"},
		{Name: "group", Typeflag: tar.TypeReg, Mode: 0o610},
		{Name: "open", Typeflag: tar.TypeReg, Mode: 0o666},
		{Name: "none", Typeflag: tar.TypeReg},
		{Name: "sticky/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "shut/", Typeflag: tar.TypeDir, Mode: 0},
		{Name: "shut/in", Typeflag: tar.TypeReg, Mode: 0o4644},
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o777},
		{Name: "./dot/./x", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01"}},
	}))
	want := []string{
		"d dot rwxr-xr-x", "f dot/x rw-r--r-- ", "f group rwxr-xr-x ", "f none rw-r--r-- ", "f open rw-r--r-- ",
		"f setuid rwxr-xr-x ", "d shut rwxr-xr-x", "f shut/in rw-r--r-- ", "d sticky rwxr-xr-x",
	}
	if diff := cmp.Diff(want, look(t, tree.Dir())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(tree.Dir(), "setuid"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(tree.Dir())); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("staging is %v, %v", st.Mode(), err)
	}
}
