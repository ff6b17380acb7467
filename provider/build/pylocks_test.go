package build

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/proto/status"
)

// sumOf is a hash of 64 times a digit.
func sumOf(digit string) string { return strings.Repeat(digit, 64) }

// lockedShop is one project as each tool locks it: it needs Flask, and colorama on Windows
// alone; its tests need pytest.
var lockedShop = map[string]string{
	"uv.lock": `version = 1
revision = 3
requires-python = ">=3.11"
resolution-markers = ["python_full_version >= '3.15'", "python_full_version < '3.15'"]

[[package]]
name = "colorama"
version = "0.4.6"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://index.example/colorama-0.4.6.tar.gz", hash = "sha256:` + sumOf("9") + `", size = 3 }
wheels = [
    { url = "https://index.example/colorama-0.4.6-py2.py3-none-any.whl", hash = "sha256:` + sumOf("2") + `", size = 3, upload-time = "2022-10-25T02:36:20.889Z" },
]

[[package]]
name = "flask"
version = "3.0.0"
source = { registry = "https://index.example/simple" }
dependencies = [
    { name = "colorama", marker = "sys_platform == 'win32'" },
]
wheels = [
    { url = "https://index.example/flask-3.0.0-py3-none-any.whl", hash = "sha256:SUM", size = 3 },
    { url = "https://index.example/flask-3.0.0-cp311-cp311-win_amd64.whl", hash = "sha256:` + sumOf("1") + `", size = 3 },
]

[[package]]
name = "pytest"
version = "8.0.0"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "colorama" }]

[[package]]
name = "shop"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "flask" }]

[package.optional-dependencies]
test = [{ name = "pytest" }]

[package.dev-dependencies]
dev = [{ name = "pytest" }]

[package.metadata]
requires-dist = [{ name = "flask", specifier = ">=3" }, { name = "pytest", marker = "extra == 'test'" }]
`,
	"poetry.lock": `# This file is generated.

[[package]]
name = "colorama"
version = "0.4.6"
description = "Colours."
optional = false
python-versions = ">=2.7"
groups = ["main", "dev"]
files = [
    {file = "colorama-0.4.6-py2.py3-none-any.whl", hash = "sha256:` + sumOf("2") + `"},
]
markers = {main = "sys_platform == 'win32'", dev = "os_name == 'nt'"}

[[package]]
name = "flask"
version = "3.0.0"
optional = false
python-versions = ">=3.8"
groups = ["main"]
files = [
    {file = "flask-3.0.0-py3-none-any.whl", hash = "sha256:SUM"},
    {file = "flask-3.0.0.tar.gz", hash = "sha256:` + sumOf("1") + `"},
]

[package.dependencies]
colorama = {version = "*", markers = "sys_platform == \"win32\""}

[package.source]
type = "legacy"
url = "https://index.example/simple"
reference = "own"

[[package]]
name = "asgiref"
version = "3"
optional = true
python-versions = ">=3.8"
groups = ["main"]
files = []
markers = "extra == \"async\""

[[package]]
name = "pytest"
version = "8.0.0"
optional = false
python-versions = ">=3.8"
groups = ["dev"]
files = []

[extras]
async = ["asgiref"]

[metadata]
lock-version = "2.1"
python-versions = ">=3.11"
content-hash = "00"
`,
	"pdm.lock": `[metadata]
groups = ["default", "dev"]
strategy = ["inherit_metadata"]
lock_version = "4.5.0"
content_hash = "sha256:00"

[[metadata.targets]]
requires_python = ">=3.11"

[[package]]
name = "colorama"
version = "0.4.6"
groups = ["default", "dev"]
marker = "sys_platform == 'win32'"
files = [{file = "colorama-0.4.6-py2.py3-none-any.whl", hash = "sha256:` + sumOf("2") + `"}]

[[package]]
name = "flask"
version = "3.0.0"
groups = ["default"]
dependencies = ["colorama; sys_platform == \"win32\""]
files = [
    {file = "flask-3.0.0-py3-none-any.whl", hash = "sha256:SUM"},
    {file = "flask-3.0.0.tar.gz", hash = "sha256:` + sumOf("1") + `"},
]

[[package]]
name = "flask"
version = "3.0.0"
extras = ["async"]
groups = ["default"]
marker = "python_version < \"3.8\""
files = [{file = "flask-3.0.0-py3-none-any.whl", hash = "sha256:SUM"}]

[[package]]
name = "pytest"
version = "8.0.0"
groups = ["dev"]
files = []
`,
	"Pipfile.lock": `{
  "_meta": {"hash": {"sha256": "00"}, "pipfile-spec": 6, "requires": {"python_version": "3.11"}, "sources": [{"name": "pypi", "url": "https://index.example/simple", "verify_ssl": true}]},
  "default": {
    "colorama": {"hashes": ["sha256:` + sumOf("2") + `"], "markers": "sys_platform == 'win32'", "version": "==0.4.6"},
    "flask": {"hashes": ["sha256:SUM", "sha256:` + sumOf("1") + `"], "index": "pypi", "version": "==3.0.0"},
    "shop": {"editable": true, "path": "."}
  },
  "develop": {"pytest": {"hashes": [], "version": "==8.0.0"}}
}
`,
}

// TestToolLocks: whoever locked a project, pip is given the same.
func TestToolLocks(t *testing.T) {
	sums := []string{hexOf(string(flask(t))), sumOf("1")}
	slices.Sort(sums)
	want := []string{
		"colorama==0.4.6 ; sys_platform == 'win32' --hash=sha256:" + sumOf("2"),
		"flask==3.0.0 --hash=sha256:" + strings.Join(sums, " --hash=sha256:"),
	}
	for _, l := range toolLocks() {
		t.Run(l.name, func(t *testing.T) {
			text := strings.ReplaceAll(lockedShop[l.name], "SUM", hexOf(string(flask(t))))
			r := leaving(map[string][]byte{"flask-3.0.0-py3-none-any.whl": flask(t)})
			tree := fstest.MapFS{"main.py": {}, l.name: {Data: []byte(text)}}
			res := build(t, langBuilder(t, r), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
			got, err := readAll(r.jobs[0].Source, requirementsName, maxRequirements)
			must(t, err)
			lines := strings.Split(strings.TrimSpace(string(got)), "\n")
			slices.Sort(lines)
			if !slices.Equal(lines, want) {
				t.Errorf("pip is given %q, want %q", lines, want)
			}
			if len(res.Packages) != 1 || res.Packages[0].PURL != "pkg:pypi/flask@3.0.0" || len(res.Warnings) > 0 ||
				!slices.Contains(res.Evidence, "dependencies: 2 projects by the hashes in "+l.name) {
				t.Errorf("got %v, %v, %v", res.Packages, res.Warnings, res.Evidence)
			}
			// What pip itself reads comes first; where files are there, they decide.
			tree[pylockName] = &fstest.MapFile{Data: []byte("lock-version = '1.0'")}
			res = build(t, langBuilder(t, nil), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
			if len(res.Packages) > 0 {
				t.Errorf("with %s there are %v", pylockName, res.Packages)
			}
			delete(tree, pylockName)
			tree["wheels/other-1-py3-none-any.whl"] = &fstest.MapFile{Data: wheelOf(t, "other", "1", nil)}
			res = build(t, langBuilder(t, nil), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
			if len(res.Packages) != 1 || res.Packages[0].Name != "other" {
				t.Errorf("with wheels there are %v", res.Packages)
			}
		})
	}
}

// uvPackages is a uv.lock with a project that needs what dependencies says.
func uvPackages(dependencies string, more ...string) string {
	const head = "version = 1\n[[package]]\nname = 'shop'\nsource = { virtual = '.' }\ndependencies = [%s]\n"
	return fmt.Sprintf(head, dependencies) + strings.Join(more, "\n")
}

// uvWheel is a package of one; its hash is of zeros.
func uvWheel(name, version, dependencies string) string {
	return fmt.Sprintf("[[package]]\nname = '%s'\nversion = '%s'\nsource = { registry = 'x' }\nwheels = [{ hash = 'sha256:%s' }]\ndependencies = [%s]\n",
		name, version, sumOf("0"), dependencies)
}

// TestUVGraph: what is reached, and under which markers.
func TestUVGraph(t *testing.T) {
	const (
		win = `marker = "sys_platform == 'win32'"`
		old = `marker = "python_version < '3.9'"`
	)
	for name, tt := range map[string]struct {
		lock string
		want []string
	}{
		"nothing":  {uvPackages("", uvWheel("a", "1", "")), nil},
		"a circle": {uvPackages("{name='a'}", uvWheel("a", "1", "{name='b'}"), uvWheel("b", "1", "{name='a'}")), []string{"a==1", "b==1"}},
		"markers on a way": {
			uvPackages("{name='a', "+win+"}", uvWheel("a", "1", "{name='b', "+old+"}"), uvWheel("b", "1", "{name='c', "+win+"}"), uvWheel("c", "1", "")),
			[]string{
				"a==1 ; sys_platform == 'win32'",
				"b==1 ; (python_version < '3.9') and (sys_platform == 'win32')",
				"c==1 ; (python_version < '3.9') and (sys_platform == 'win32')",
			},
		},
		"one of two ways": {
			uvPackages("{name='a', "+win+"}, {name='b', "+old+"}", uvWheel("a", "1", "{name='c'}"), uvWheel("b", "1", "{name='c'}"), uvWheel("c", "1", "")),
			[]string{"a==1 ; sys_platform == 'win32'", "b==1 ; python_version < '3.9'", "c==1 ; (sys_platform == 'win32') or (python_version < '3.9')"},
		},
		"a way without, found late": {
			uvPackages("{name='a', "+win+"}, {name='b'}", uvWheel("a", "1", "{name='c'}"), uvWheel("b", "1", "{name='d'}"), uvWheel("c", "1", ""), uvWheel("d", "1", "{name='a'}")),
			[]string{"a==1", "b==1", "c==1", "d==1"},
		},
		"an extra": {
			uvPackages("{name='a', extra=['x']}", uvWheel("a", "1", "")+"[package.optional-dependencies]\nx = [{name='b'}]\ny = [{name='c'}]\n", uvWheel("b", "1", ""), uvWheel("c", "1", "")),
			[]string{"a==1", "b==1"},
		},
		"two versions": {
			uvPackages("{name='a', version='1', "+old+"}, {name='a', version='2', marker=\"python_version >= '3.9'\"}", uvWheel("a", "1", ""), uvWheel("a", "2", "")),
			[]string{"a==1 ; python_version < '3.9'", "a==2 ; python_version >= '3.9'"},
		},
		"an unwanted git repository": {uvPackages("", "[[package]]\nname = 'a'\nversion = '1'\nsource = { git = 'https://x' }\n"), nil},
	} {
		got, err := parseUVLock([]byte(tt.lock))
		var lines []string
		for _, r := range got {
			lines = append(lines, r.text)
		}
		if slices.Sort(lines); err != nil || !slices.Equal(lines, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", name, lines, err, tt.want)
		}
	}
}

func TestToolLocksRefused(t *testing.T) {
	replaced := func(name, old, with string) string {
		if !strings.Contains(lockedShop[name], old) {
			t.Fatalf("%s has no %q", name, old)
		}
		return strings.ReplaceAll(lockedShop[name], old, with)
	}
	tangled := []string{}
	for i := range 40 {
		next := fmt.Sprintf("{name='p%d', marker='a%d'}, {name='p%d', marker='b%d'}", i+1, i, i+1, i)
		tangled = append(tangled, uvWheel(fmt.Sprintf("p%d", i), "1", next))
	}
	tangled = append(tangled, uvWheel("p40", "1", ""))
	var many, all string
	for i := range maxRequirement + 1 {
		many += fmt.Sprintf("{name='m%d'},", i)
		all += uvWheel(fmt.Sprintf("m%d", i), "1", "")
	}
	for name, tt := range map[string]struct{ file, text, want string }{
		"uv: empty":                    {"uv.lock", "", `version: got "0", want 1`},
		"uv: no TOML":                  {"uv.lock", "version = ", "not valid"},
		"uv: later":                    {"uv.lock", "version = 2", `version: got "2"`},
		"uv: no project":               {"uv.lock", replaced("uv.lock", `editable = "."`, `editable = "shop"`), "want the project itself"},
		"uv: git":                      {"uv.lock", uvPackages("{name='a'}", "[[package]]\nname = 'a'\nversion = '1'\nsource = { git = 'https://x' }\n"), "not from an index"},
		"uv: of a workspace":           {"uv.lock", uvPackages("{name='a'}", "[[package]]\nname = 'a'\nversion = '1'\nsource = { editable = 'packages/a' }\n"), "not from an index"},
		"uv: sources alone":            {"uv.lock", uvPackages("{name='a'}", "[[package]]\nname = 'a'\nversion = '1'\nsource = { registry = 'x' }\n"), "no wheel with a sha256"},
		"uv: absent":                   {"uv.lock", uvPackages("{name='a'}"), `"a", which it does not have`},
		"uv: two of a name":            {"uv.lock", uvPackages("{name='a'}", uvWheel("a", "1", ""), uvWheel("a", "2", "")), "of which there are several"},
		"uv: a conflict":               {"uv.lock", uvPackages(`{name='a', marker="extra == 'extra-4-shop-cpu'"}`, uvWheel("a", "1", "")), "of a group"},
		"uv: a line in a marker":       {"uv.lock", uvPackages(`{name='a', marker="x\n--index-url=y"}`, uvWheel("a", "1", "")), "several lines"},
		"uv: tangled":                  {"uv.lock", uvPackages("{name='p0'}", tangled...), "too many combinations"},
		"uv: many packages":            {"uv.lock", uvPackages(many, all), "has 4097 packages, want at most 4096"},
		"poetry: empty":                {"poetry.lock", "", `metadata.lock-version: got "", want 2.1`},
		"poetry: before 2":             {"poetry.lock", replaced("poetry.lock", `"2.1"`, `"2.0"`), `got "2.0", want 2.1`},
		"poetry: git":                  {"poetry.lock", replaced("poetry.lock", `"legacy"`, `"git"`), "a package from git"},
		"poetry: a directory":          {"poetry.lock", replaced("poetry.lock", `"legacy"`, `"directory"`), "a package from directory"},
		"poetry: a list of markers":    {"poetry.lock", replaced("poetry.lock", `markers = {main = "sys_platform == 'win32'", dev = "os_name == 'nt'"}`, `markers = ["x"]`), "markers of an unknown form"},
		"poetry: a marker of a number": {"poetry.lock", replaced("poetry.lock", `{main = "sys_platform == 'win32'"`, `{main = 3`), "markers of an unknown form"},
		"poetry: no hash":              {"poetry.lock", replaced("poetry.lock", "sha256:", "md5:"), "no wheel with a sha256"},
		"pdm: empty":                   {"pdm.lock", "", `metadata.lock_version: got "", want 4.5`},
		"pdm: older":                   {"pdm.lock", replaced("pdm.lock", "4.5.0", "4.4.1"), `got "4.4.1"`},
		"pdm: no groups":               {"pdm.lock", replaced("pdm.lock", `"inherit_metadata"`, `"cross_platform"`), "want inherit_metadata"},
		"pdm: git":                     {"pdm.lock", replaced("pdm.lock", "name = \"flask\"\n", "name = \"flask\"\ngit = \"https://x\"\n"), "a package from git"},
		"pdm: a file":                  {"pdm.lock", replaced("pdm.lock", "name = \"flask\"\n", "name = \"flask\"\npath = \"./x\"\n"), "a package from a directory or file"},
		"pdm: a URL":                   {"pdm.lock", replaced("pdm.lock", "name = \"flask\"\n", "name = \"flask\"\nurl = \"https://x\"\n"), "a package from a URL"},
		"pipenv: empty":                {"Pipfile.lock", "", "not valid"},
		"pipenv: older":                {"Pipfile.lock", replaced("Pipfile.lock", `"pipfile-spec": 6`, `"pipfile-spec": 5`), `_meta.pipfile-spec: got "5"`},
		"pipenv: git":                  {"Pipfile.lock", replaced("Pipfile.lock", `"index": "pypi"`, `"git": "https://x"`), "not from an index"},
		"pipenv: a directory":          {"Pipfile.lock", replaced("Pipfile.lock", `"path": "."`, `"path": "./lib"`), "not from an index"},
		"pipenv: any version":          {"Pipfile.lock", replaced("Pipfile.lock", "==3.0.0", "*"), "Pipfile.lock: "},
	} {
		tree := fstest.MapFS{"main.py": {}, tt.file: {Data: []byte(tt.text)}}
		_, err := langBuilder(t, nil).Build(t.Context(), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
		var e *status.Error
		if !errors.As(err, &e) || e.Reason != "build.lock" {
			t.Errorf("%s: got %v", name, err)
		} else if text := fmt.Sprint(e, e.Faults); !strings.Contains(text, tt.want) || !strings.Contains(e.Hint, "requirements.txt") {
			t.Errorf("%s: got %s, %q, want %q", name, text, e.Hint, tt.want)
		}
	}
}

// FuzzPythonLocks: what pip is given has a line for each package, each as it would be read
// from a requirements file.
func FuzzPythonLocks(f *testing.F) {
	kinds := append(toolLocks(), pipLocks()[1:]...)
	f.Add(len(kinds)-1, []byte(strings.Replace(lockedFlask, "SUM", sumOf("0"), 1)))
	f.Add(len(kinds)-1, []byte("lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nmarker = 'a;b # c'\nwheels = [{hashes = {sha256 = '"+sumOf("1")+"'}}]"))
	for i, k := range toolLocks() {
		f.Add(i, []byte(strings.ReplaceAll(lockedShop[k.name], "SUM", sumOf("0"))))
	}
	f.Add(0, []byte(uvPackages("{name='a', marker='x'}", uvWheel("a", "1", "{name='a', marker='y', extra=['z']}"))))
	f.Fuzz(func(t *testing.T, kind int, data []byte) {
		if kind < 0 || kind >= len(kinds) {
			return
		}
		want, err := kinds[kind].read(data)
		if err != nil {
			return
		}
		if err := locked(want); err != nil {
			t.Errorf("it is not locked: %v", err)
		}
		got, err := parseRequirements(lockText(want))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v: %q is read as %v, %v", want, lockText(want), got, err)
		}
		for i := range got {
			if got[i].name != want[i].name || got[i].version != want[i].version || got[i].marked != want[i].marked || !slices.Equal(got[i].hashes, want[i].hashes) {
				t.Errorf("%+v is read as %+v", want[i], got[i])
			}
		}
	})
}
