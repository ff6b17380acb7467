package detect_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"apocryph/manifest/detect"
	"apocryph/proto/status"
)

// elfFile is the header of a program, with some of its bytes changed.
func elfFile(change func(b []byte)) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01\x00")
	binary.LittleEndian.PutUint16(b[16:], 2)
	binary.LittleEndian.PutUint16(b[18:], 62)
	if change != nil {
		change(b)
	}
	return b
}

func TestI4EntryELF(t *testing.T) {
	tests := []struct {
		name   string
		data   []byte
		mode   fs.FileMode
		refuse string
	}{
		{"amd64", elfFile(nil), 0o755, ""},
		{"arm64, position independent, linux", elfFile(func(b []byte) { b[7], b[16], b[18] = 3, 3, 183 }), 0o555, ""},
		{"not executable", elfFile(nil), 0o644, "chmod +x"},
		{"32 bits", elfFile(func(b []byte) { b[4] = 1 }), 0o755, "64 bits"},
		{"big-endian", elfFile(func(b []byte) { b[5] = 2 }), 0o755, "little-endian"},
		{"FreeBSD", elfFile(func(b []byte) { b[7] = 9 }), 0o755, "another system"},
		{"object file", elfFile(func(b []byte) { b[16] = 1 }), 0o755, "no program"},
		{"riscv", elfFile(func(b []byte) { b[18] = 243 }), 0o755, "neither amd64 nor arm64"},
		{"truncated", elfFile(nil)[:19], 0o755, "64 bits"},
		{"Mach-O", []byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01"), 0o755, "neither an ELF file"},
		{"no interpreter", []byte("#!\n"), 0o755, "without an interpreter"},
		{"control characters", []byte("#!/bin/\x1b[2Jsh\n"), 0o755, "without an interpreter"},
		{"empty", nil, 0o755, "neither an ELF file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{"main": {Data: tt.data, Mode: tt.mode}}
			for _, o := range []detect.Options{{}, {Entry: "main"}, {Entry: "/app/main", Runtime: "binary"}} {
				p, err := detect.Detect(files, o)
				if tt.refuse == "" {
					if err != nil || p.Runtime != detect.Binary || !slices.Equal(p.Argv, []string{"/app/main"}) {
						t.Errorf("%+v: %+v, %v", o, p, err)
					}
					continue
				}
				if status.CodeOf(err) != status.InvalidArgument || !strings.Contains(text(p, err), tt.refuse) {
					t.Errorf("%+v: %s, want a refusal with %q", o, text(p, err), tt.refuse)
				}
			}
		})
	}
	for interpreter, want := range map[string]detect.Runtime{
		"/usr/bin/python3.11 -u": detect.Python, "/usr/bin/env node": detect.Node, "/usr/bin/env -S sh": detect.Binary, "/bin/bash -e": detect.Binary,
	} {
		p, err := detect.Detect(fstest.MapFS{"run": {Data: []byte("#!" + interpreter + "\n"), Mode: 0o755}}, detect.Options{Entry: "run"})
		if err != nil || p.Runtime != want {
			t.Errorf("%s: %s", interpreter, text(p, err))
		}
	}
}

// TestEntryRefuses: what a caller may not name.
func TestEntryRefuses(t *testing.T) {
	files := fstest.MapFS{"main.py": {}, "a\nb.py": {}, "bin": {Mode: 0o755}, "x/y.py": {}}
	for _, entry := range []string{
		"a\nb.py", "main.py\x00", "\x1b[2J", "..", "../x", "/", "/etc", "/app/../etc/passwd", "x/../../y", "x.y:", "x.y:f()", "x.y:f;g", "import:f", ":f", "no.mod:f",
		"[", "[\"\"]", "[\"a\\u0000\"]", "{}", "x/y.py:f", "bin", " ", "unknown-program --x", "./gone --x", "-c print", "FOO=1 unknown",
		strings.Repeat("a", 5000), `["python",` + strings.Repeat(`"x",`, 70) + `"x"]`,
	} {
		p, err := detect.Detect(files, detect.Options{Entry: entry})
		if status.ReasonOf(err) != "entrypoint.invalid" || !cmp.Equal(p, detect.Plan{}) {
			t.Errorf("%q: %s", entry, text(p, err))
		}
		if strings.ContainsAny(strings.ReplaceAll(text(p, err), "\n", ""), "\x00\x1b") {
			t.Errorf("%q is repeated with its control characters", entry)
		}
	}
}

// TestCommands: a line is split where that means the same as a shell would, and
// needs one where not.
func TestCommands(t *testing.T) {
	files := fstest.MapFS{"server.py": {}, "go.mod": {Data: []byte("module x\n")}, "cmd/x/m.go": {Data: []byte("package main\n")}, "run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}}
	for _, tt := range []struct {
		entry, runtime string
		argv           []string
		want           detect.Runtime
	}{
		{"python server.py --port=80", "", []string{"python", "server.py", "--port=80"}, detect.Python},
		{"python3 -m http.server", "", []string{"python3", "-m", "http.server"}, detect.Python},
		{"A=1 exec python 'server.py'", "", []string{"/bin/sh", "-c", "A=1 exec python 'server.py'"}, detect.Python},
		{"A=1 python server.py", "", []string{"/bin/sh", "-c", "A=1 python server.py"}, detect.Python},
		{"./run.sh a", "", []string{"/app/run.sh", "a"}, detect.Binary},
		{"/app/run.sh a", "", []string{"/app/run.sh", "a"}, detect.Binary},
		{"./run.sh $HOME", "", []string{"/bin/sh", "-c", "./run.sh $HOME"}, detect.Binary},
		{"x serve", "go", []string{"/app/main", "serve"}, detect.Go},
		{"x serve", "", []string{"/app/main", "serve"}, detect.Go},
		{"foo | bar", "python", []string{"/bin/sh", "-c", "foo | bar"}, detect.Python},
		{`["my program","a b"]`, "node", []string{"my program", "a b"}, detect.Node},
	} {
		p, err := detect.Detect(files, detect.Options{Entry: tt.entry, Runtime: tt.runtime})
		if err != nil || p.Runtime != tt.want || !slices.Equal(p.Argv, tt.argv) {
			t.Errorf("%s: %s", tt.entry, text(p, err))
		}
	}
	if p, err := detect.Detect(files, detect.Options{Entry: "x | y", Runtime: "go"}); status.ReasonOf(err) != "entrypoint.invalid" {
		t.Errorf("a shell for a Go program: %s", text(p, err))
	}
}

// backwards lists directories from the last name to the first.
type backwards struct{ fstest.MapFS }

func (b backwards) Open(name string) (fs.File, error) {
	f, err := b.MapFS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok {
		return backwardsDir{d}, err
	}
	return f, err
}

type backwardsDir struct{ fs.ReadDirFile }

func (d backwardsDir) ReadDir(n int) ([]fs.DirEntry, error) {
	e, err := d.ReadDirFile.ReadDir(n)
	slices.Reverse(e)
	return e, err
}

func (d backwardsDir) Stat() (fs.FileInfo, error) { return d.ReadDirFile.Stat() }

// TestOrderOfDirectoriesDecidesNothing: the same tree, listed the other way round.
func TestOrderOfDirectoriesDecidesNothing(t *testing.T) {
	for _, name := range archives(t) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files, o := treeOf(a)
		want := text(detect.Detect(files, o))
		if d := cmp.Diff(want, text(detect.Detect(backwards{files}, o))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestLimits: no file and no directory of a stranger is read without bound.
func TestLimits(t *testing.T) {
	big := &fstest.MapFile{Data: []byte(strings.Repeat(" ", 1<<20+1))}
	many := func(dir string, n int, data string) fstest.MapFS {
		files := fstest.MapFS{}
		for i := range n {
			files[path.Join(dir, fmt.Sprintf("f%05d.go", i))] = &fstest.MapFile{Data: []byte(data)}
		}
		files["go.mod"] = &fstest.MapFile{Data: []byte("module x\n")}
		return files
	}
	for _, tt := range []struct {
		name   string
		files  fstest.MapFS
		reason string
	}{
		{"pyproject", fstest.MapFS{"pyproject.toml": big}, "entrypoint.malformed"},
		{"package.json", fstest.MapFS{"package.json": big}, "entrypoint.malformed"},
		{"Procfile", fstest.MapFS{"Procfile": big}, "entrypoint.malformed"},
		{"Dockerfile", fstest.MapFS{"Dockerfile": big}, "entrypoint.malformed"},
		{"apocryph.yaml", fstest.MapFS{"apocryph.yaml": big}, "entrypoint.malformed"},
		{"go.mod", fstest.MapFS{"go.mod": big, "main.go": {Data: []byte("package main\n")}}, "entrypoint.malformed"},
		{"requirements", fstest.MapFS{"main.py": {}, "requirements.txt": big}, "entrypoint.malformed"},
		{"pyproject for its dependencies", fstest.MapFS{"main.py": {}, "pyproject.toml": big}, "entrypoint.malformed"},
		{"package.json for its dependencies", fstest.MapFS{"package.json": big, "x.js": {}}, "entrypoint.malformed"},
		{"names", many(".", 20_001, ""), "entrypoint.limits"},
		{"names in cmd", many("cmd", 20_001, ""), "entrypoint.limits"},
		{"names in src", many("src", 20_001, ""), "entrypoint.limits"},
		{"bytes", many(".", 1100, "/*"+strings.Repeat(" ", 64<<10)), "entrypoint.limits"},
		{"deep TOML", fstest.MapFS{"pyproject.toml": {Data: []byte("a = " + strings.Repeat("[", 1<<19))}}, "entrypoint.malformed"},
		{"deep inline tables", fstest.MapFS{"pyproject.toml": {Data: []byte("a = " + strings.Repeat("{a=", 1<<18))}}, "entrypoint.malformed"},
		{"deep JSON", fstest.MapFS{"package.json": {Data: []byte(strings.Repeat("[", 1<<20))}}, "entrypoint.malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := detect.Options{}
			if tt.name == "package.json for its dependencies" {
				o.Entry = "x.js"
			}
			p, err := detect.Detect(tt.files, o)
			if status.ReasonOf(err) != tt.reason || !cmp.Equal(p, detect.Plan{}) {
				t.Errorf("%.300s, want %s", text(p, err), tt.reason)
			}
		})
	}
	if p, err := detect.Detect(fstest.MapFS{"index.html": {}, "video": big}, detect.Options{}); err != nil || p.Runtime != detect.Static {
		t.Errorf("a large file that nobody reads: %s", text(p, err))
	}
}

// broken fails to read what it has.
type broken struct {
	fstest.MapFS
	name string
}

func (b broken) Stat(name string) (fs.FileInfo, error) { return fs.Stat(b.MapFS, name) }

func (b broken) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("input/output error")}
	}
	return b.MapFS.Open(name)
}

// TestUnreadable: what cannot be read is not taken for what is not there.
func TestUnreadable(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"pyproject.toml": {"pyproject.toml": {}}, "package.json": {"package.json": {}}, "Procfile": {"Procfile": {}}, "main": {"main": {Mode: 0o755}},
		"Dockerfile": {"Dockerfile": {}}, "apocryph.yaml": {"apocryph.yaml": {}}, "project.json": {"project.json": {}}, ".": {"x": {}}, "src": {"src/x": {}}, "cmd": {"go.mod": {}, "cmd/x": {}},
		"go.mod": {"go.mod": {}, "x.go": {Data: []byte("package main\n")}}, "requirements.txt": {"main.py": {}, "requirements.txt": {}},
	} {
		p, err := detect.Detect(broken{files, name}, detect.Options{})
		if status.ReasonOf(err) != "entrypoint.unreadable" || status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%s: %s", name, text(p, err))
		}
	}
}

// TestLinks: a link that leaves the tree is not followed, one within it is.
func TestLinks(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for name, target := range map[string]string{"main.py": outside + "/secret.py", "__main__.py": "../secret.py", "pkg": outside, "server.js": "within.js", "index.js": "/dev/zero"} {
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]string{outside + "/secret.py": "", outside + "/__main__.py": "", dir + "/within.js": "", dir + "/package.json": "{}"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if p, err := detect.Detect(root.FS(), detect.Options{}); err != nil || p.Entry != "server.js" {
		t.Errorf("%s, want server.js", text(p, err))
	}
	for _, entry := range []string{"main.py", "pkg", "pkg/secret.py", "index.js"} {
		if p, err := detect.Detect(root.FS(), detect.Options{Entry: entry}); status.ReasonOf(err) != "entrypoint.invalid" {
			t.Errorf("%s: %s", entry, text(p, err))
		}
	}
}

// parse returns nil for text that the parser of archives itself cannot stand.
func parse(data []byte) (a *txtar.Archive) {
	defer func() {
		if recover() != nil {
			a = nil
		}
	}()
	return txtar.Parse(data)
}

// FuzzDetect reads an archive as a tree. Whatever is in it, the answer is a plan
// that can be run, the same each time, or a refusal.
func FuzzDetect(f *testing.F) {
	for _, name := range archives(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := parse(data)
		if a == nil {
			return // another parser's fault
		}
		files, o := treeOf(a)
		p, err := detect.Detect(files, o)
		if d := cmp.Diff(text(p, err), text(detect.Detect(backwards{files}, o))); d != "" {
			t.Fatal(d)
		}
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument || !strings.HasPrefix(status.ReasonOf(err), "entrypoint.") {
				t.Fatal(err)
			}
			return
		}
		decided := p.Runtime == detect.Static || p.Runtime == detect.Dockerfile
		if !slices.Contains(detect.Runtimes(), p.Runtime) || decided != (len(p.Argv) == 0) || len(p.Evidence) == 0 || o.Runtime != "" && o.Runtime != string(p.Runtime) {
			t.Fatalf("%+v", p)
		}
		if p.Entry != "" && !fs.ValidPath(p.Entry) {
			t.Fatalf("the entry is %q", p.Entry)
		}
		for _, s := range slices.Concat(p.Argv, p.Env, p.Evidence, p.Warnings) {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(s) > 10_000 {
				t.Fatalf("%q in %+v", s, p)
			}
		}
	})
}
