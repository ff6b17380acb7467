package build

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/proto/status"
)

// wheelTree is a tree with wheels and a requirements file.
func wheelTree(requirements string, wheels map[string][]byte) fstest.MapFS {
	tree := fstest.MapFS{"main.py": {}}
	if requirements != "" {
		tree["requirements.txt"] = &fstest.MapFile{Data: []byte(requirements)}
	}
	for name, data := range wheels {
		tree["wheels/"+name] = &fstest.MapFile{Data: data}
	}
	return tree
}

// rawWheel is a wheel of entries as they are given.
func rawWheel(t testing.TB, headers ...*zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, h := range headers {
		_, err := z.CreateHeader(h)
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

// describeFaults is an error with all that it lists.
func describeFaults(err error) string {
	text := fmt.Sprint(err)
	var refusal *status.Error
	if errors.As(err, &refusal) {
		text = fmt.Sprint(text, refusal.Faults)
	}
	return text
}

func TestWheelRefusals(t *testing.T) {
	const file = "flask-3.0.0-py3-none-any.whl"
	of := func(files map[string]string) []byte { return wheelOf(t, "flask", "3.0.0", files) }
	link := &zip.FileHeader{Name: "flask/link"}
	link.SetMode(fs.ModeSymlink | 0o777)
	altered := bytes.Replace(flask(t), []byte("x = 1\n"), []byte("x = 2\n"), 1)
	for name, tt := range map[string]struct {
		requirements string
		wheels       map[string][]byte
		reason       string
		want         string
	}{
		"no zip":           {"", map[string][]byte{file: []byte("hello")}, "build.wheel", "no zip archive"},
		"cut":              {"", map[string][]byte{file: flask(t)[:200]}, "build.wheel", "no zip archive"},
		"altered":          {"", map[string][]byte{file: altered}, "build.wheel", "cannot be unpacked"},
		"name":             {"", map[string][]byte{"flask.whl": flask(t)}, "build.wheel", "its name is not"},
		"other name":       {"", map[string][]byte{"django-3.0.0-py3-none-any.whl": flask(t)}, "build.wheel", "want that of the wheel's name"},
		"other version":    {"", map[string][]byte{"flask-3.1-py3-none-any.whl": flask(t)}, "build.wheel", "want that of the wheel's name"},
		"above":            {"", map[string][]byte{file: of(map[string]string{"../../etc/passwd": "x"})}, "build.wheel", "want a path within"},
		"absolute":         {"", map[string][]byte{file: of(map[string]string{"/etc/passwd": "x"})}, "build.wheel", "want a path within"},
		"backslash":        {"", map[string][]byte{file: of(map[string]string{`..\x`: "x"})}, "build.wheel", "want a path within"},
		"data above":       {"", map[string][]byte{file: of(map[string]string{"flask-3.0.0.data/purelib/": "", "flask-3.0.0.data/purelib/a/../../x": "x"})}, "build.wheel", "want a path within"},
		"link":             {"", map[string][]byte{file: rawWheel(t, link)}, "build.wheel", "a special file"},
		"twice":            {"", map[string][]byte{file: rawWheel(t, &zip.FileHeader{Name: "a"}, &zip.FileHeader{Name: "a"})}, "build.wheel", "twice"},
		"no record":        {"", map[string][]byte{file: rawWheel(t, &zip.FileHeader{Name: "a"})}, "build.wheel", "no .dist-info"},
		"two infos":        {"", map[string][]byte{file: of(map[string]string{"b-1.dist-info/RECORD": ""})}, "build.wheel", "two .dist-info"},
		"not recorded":     {"", map[string][]byte{file: of(map[string]string{"flask/x.py": "x", "flask-3.0.0.dist-info/RECORD": ""})}, "build.wheel", "is not in RECORD"},
		"wrong record":     {"", map[string][]byte{file: of(map[string]string{"x.py": "x", "flask-3.0.0.dist-info/METADATA": "", "flask-3.0.0.dist-info/RECORD": "x.py,sha256=" + strings.Repeat("A", 43) + ",1\n"})}, "build.wheel", "RECORD"},
		"weak record":      {"", map[string][]byte{file: of(map[string]string{"flask-3.0.0.dist-info/RECORD": "x.py,md5=AAAA,1\n"})}, "build.wheel", "want sha256"},
		"record is no CSV": {"", map[string][]byte{file: of(map[string]string{"flask-3.0.0.dist-info/RECORD": "x.py\n"})}, "build.wheel", "three fields"},
		"two versions":     {"", map[string][]byte{file: flask(t), "flask-2.0.0-py3-none-any.whl": wheelOf(t, "flask", "2.0.0", nil)}, "build.wheel", "want one"},
		"same file":        {"", map[string][]byte{file: flask(t), "b-1-py3-none-any.whl": wheelOf(t, "b", "1", map[string]string{"flask/__init__.py": "x = 2\n"})}, "build.archive", "different files"},
		"file as dir":      {"", map[string][]byte{file: flask(t), "b-1-py3-none-any.whl": wheelOf(t, "b", "1", map[string]string{"flask": "x"})}, "build.archive", ""},
		"missing":          {"django==5.0\n", map[string][]byte{file: flask(t)}, "build.lock", "no wheel that fits"},
		"pinned":           {"flask==2.0\n", map[string][]byte{file: flask(t)}, "build.lock", "version 3.0.0"},
		"hash":             {"flask==3.0 --hash=sha256:" + strings.Repeat("0", 64) + "\n", map[string][]byte{file: flask(t)}, "build.lock", "one of the hashes"},
		"another Python":   {"flask\n", map[string][]byte{"flask-3.0.0-cp312-cp312-manylinux_2_17_x86_64.whl": flask(t)}, "build.lock", "no wheel that fits"},
		"another machine":  {"flask\n", map[string][]byte{"flask-3.0.0-cp311-cp311-manylinux_2_17_aarch64.whl": flask(t)}, "build.lock", "no wheel that fits"},
		"musl":             {"flask\n", map[string][]byte{"flask-3.0.0-cp311-cp311-musllinux_1_1_x86_64.whl": flask(t)}, "build.lock", "no wheel that fits"},
		"other file":       {"-r more.txt\n", map[string][]byte{file: flask(t)}, "build.lock", "-r more.txt"},
		"no lock":          {"flask>=3\n", nil, "build.lock", "no version"},
		"no hash":          {"flask==3.0\n", nil, "build.lock", "no hash"},
		"wildcard":         {"flask==3.*\n", nil, "build.lock", "no version"},
		"url":              {"flask @ https://example.org/x.whl\n", nil, "build.lock", "NAME==VERSION"},
		"weak hash":        {"flask==3.0 --hash=md5:00\n", nil, "build.lock", "NAME==VERSION"},
		"no runner":        {"flask==3.0 --hash=sha256:" + strings.Repeat("0", 64) + "\n", nil, "build.runner", "runs none"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := langBuilder(t, nil).Build(t.Context(), Request{Runtime: Python, FS: wheelTree(tt.requirements, tt.wheels), Plan: pythonPlan, Platform: amd64})
			text := describeFaults(err)
			if status.ReasonOf(err) != tt.reason || !strings.Contains(text, tt.want) {
				t.Errorf("got %s, want %s %q", text, tt.reason, tt.want)
			}
		})
	}
}

func TestWheelFit(t *testing.T) {
	target := pythonTarget{minor: 11, machine: "x86_64"}
	var last int
	for _, tag := range []string{ // each fits better than the one before
		"py3-none-any", "cp39-abi3-any", "cp311-none-any", "py3-none-manylinux2014_x86_64", "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", "cp311-cp311-linux_x86_64",
	} {
		n, err := parseWheelName("A_b.c-1.0-" + tag + ".whl")
		must(t, err)
		if got := n.fit(target); got < 0 || tag != "py3-none-any" && got <= last || n.dist != "a-b-c" {
			t.Errorf("%s: got %d after %d", tag, got, last)
		} else {
			last = got
		}
	}
	for _, tag := range []string{"py2-none-any", "cp310-cp310-any", "cp312-abi3-any", "pp311-none-any", "py3-none-win_amd64", "py3-none-macosx_11_0_x86_64", "py312-none-any", "cp311-cp311t-any", "c-none-any"} {
		n, err := parseWheelName("a-1.0-" + tag + ".whl")
		must(t, err)
		if got := n.fit(target); got >= 0 {
			t.Errorf("%s: got %d", tag, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, same := range [][2]string{{"1.0", "1.0.0"}, {"v1", "1"}, {"1.0RC1", "1.0rc1"}, {"1.0+a_b", "1+a.b"}} {
		if !sameVersion(same[0], same[1]) {
			t.Errorf("%v differ", same)
		}
	}
	for _, other := range [][2]string{{"1.0", "10"}, {"1.0", "1.0.1"}, {"1.0", "1.0+x"}, {"1", "1.0.post1"}} {
		if sameVersion(other[0], other[1]) {
			t.Errorf("%v are the same", other)
		}
	}
}

// TestVendoredPython: packages that are unpacked already stay where they are.
func TestVendoredPython(t *testing.T) {
	tree := fstest.MapFS{"main.py": {}, "requirements.txt": {Data: []byte("flask>=3\n")}, "vendor/flask/__init__.py": {}, "vendor/flask-3.0.0.dist-info/METADATA": {}, "src/shop/__main__.py": {}}
	plan := *pythonPlan
	plan.Argv, plan.Env = []string{"python", "-m", "shop"}, []string{"PYTHONPATH=/app/src", "MODE=x"}
	res := build(t, langBuilder(t, nil), Request{Runtime: Python, FS: tree, Plan: &plan, Platform: amd64})
	if !strings.Contains(string(res.Image.Config), `"PYTHONPATH=/app:/app/src:/app/vendor"`) || !strings.Contains(string(res.Image.Config), `"MODE=x"`) || len(res.Packages) != 1 || res.Packages[0].PURL != "pkg:pypi/flask@3.0.0" {
		t.Errorf("%s %v", res.Image.Config, res.Packages)
	}
}

// TestUntrustedPip: what pip left is held to the lock file.
func TestUntrustedPip(t *testing.T) {
	locked := "flask==3.0.0 --hash=sha256:" + hexOf(string(flask(t))) + "\n"
	other := wheelOf(t, "other", "1", nil)
	for name, left := range map[string]map[string][]byte{
		"nothing":  {},
		"replaced": {"flask-3.0.0-py3-none-any.whl": wheelOf(t, "flask", "3.0.0", map[string]string{"flask/__init__.py": "evil"})},
		"more":     {"flask-3.0.0-py3-none-any.whl": flask(t), "other-1-py3-none-any.whl": other},
	} {
		b := langBuilder(t, leaving(left))
		_, err := b.Build(t.Context(), Request{Runtime: Python, FS: wheelTree(locked, nil), Plan: pythonPlan, Platform: amd64})
		if status.ReasonOf(err) != "build.lock" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzWheel(f *testing.F) {
	f.Add(flask(f))
	f.Add(wheelOf(f, "flask", "3.0.0", map[string]string{"../x": "y", "flask-3.0.0.data/platlib/a": ""}))
	f.Add(rawWheel(f, &zip.FileHeader{Name: "a/"}, &zip.FileHeader{Name: "a"}))
	b := langBuilder(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := wheelTree("", map[string][]byte{"flask-3.0.0-py3-none-any.whl": data})
		res, err := b.Build(t.Context(), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("got %v", err)
			}
			return
		}
		for _, e := range entries(t, res.Image.Layers[1]) {
			if e != "opt/ 755  size 0" && !strings.HasPrefix(e, "opt/deps/") || strings.Contains(e, "..") && strings.Contains(e, "/../") {
				t.Errorf("got %q", e)
			}
		}
		must(t, res.Close())
	})
}

func FuzzRequirements(f *testing.F) {
	f.Add([]byte("flask==3.0 \\\n --hash=sha256:" + strings.Repeat("0", 64) + " # x\n"))
	f.Add([]byte("a[b,c] >= 1 ; python_version < '3.12'\n-e .\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseRequirements(data)
		if err != nil || locked(all) != nil {
			return
		}
		// What pip is given says the same as what was read.
		again, err := parseRequirements(lockText(all))
		if err != nil || !slices.EqualFunc(all, again, func(x, y requirement) bool {
			return x.name == y.name && x.version == y.version && slices.Equal(x.hashes, y.hashes)
		}) {
			t.Errorf("got %v, %v from %q", again, err, lockText(all))
		}
	})
}
