package build

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/proto/status"
)

// lockedFlask is a lock file as uv and pip write them.
const lockedFlask = `lock-version = "1.0"
requires-python = ">=3.11"
created-by = "somebody"

[[packages]]
name = "shop"
directory = { path = ".", editable = true }

[[packages]]
name = "Flask"
version = "3.0.0"
index = "https://index.example/simple"
sdist = { url = "https://index.example/flask-3.0.0.tar.gz", hashes = { sha256 = "00" } }
wheels = [
    { url = "https://index.example/flask-3.0.0-py3-none-any.whl", size = 3, hashes = { sha256 = "SUM", md5 = "x" } },
    { name = "flask-3.0.0-cp311-cp311-win_amd64.whl", hashes = { sha256 = "1111111111111111111111111111111111111111111111111111111111111111" } },
]

[[packages]]
name = "colorama"
version = "0.4.6"
marker = "sys_platform == 'win32'"
wheels = [{ url = "x", hashes = { sha256 = "2222222222222222222222222222222222222222222222222222222222222222" } }]
`

// TestPylock: a pylock.toml is read as the requirements that it stands for.
func TestPylock(t *testing.T) {
	lock := strings.Replace(lockedFlask, "SUM", hexOf(string(flask(t))), 1)
	r := leaving(map[string][]byte{"flask-3.0.0-py3-none-any.whl": flask(t)})
	tree := fstest.MapFS{"main.py": {}, "pyproject.toml": {Data: []byte("[project]\ndependencies = [\"flask\"]\n")}, pylockName: {Data: []byte(lock)}}
	res := build(t, langBuilder(t, r), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
	want := "Flask==3.0.0 --hash=sha256:" + strings.Repeat("1", 64) + " --hash=sha256:" + hexOf(string(flask(t))) +
		"\ncolorama==0.4.6 ; sys_platform == 'win32' --hash=sha256:" + strings.Repeat("2", 64) + "\n"
	got, err := readAll(r.jobs[0].Source, requirementsName, maxRequirements)
	must(t, err)
	if string(got) != want && string(got) != strings.Replace(want, strings.Repeat("1", 64)+" --hash=sha256:"+hexOf(string(flask(t))), hexOf(string(flask(t)))+" --hash=sha256:"+strings.Repeat("1", 64), 1) {
		t.Errorf("pip is given %q", got)
	}
	if len(res.Packages) != 1 || res.Packages[0].PURL != "pkg:pypi/flask@3.0.0" || len(res.Warnings) > 0 ||
		!slices.Contains(res.Evidence, "dependencies: 2 projects by the hashes in pylock.toml") {
		t.Errorf("got %v, %v, %v", res.Packages, res.Warnings, res.Evidence)
	}
	// Whoever has both gets what pip itself would take.
	tree[requirementsName] = &fstest.MapFile{Data: []byte("flask\n")}
	_, err = langBuilder(t, r).Build(t.Context(), Request{Runtime: Python, FS: tree, Plan: pythonPlan, Platform: amd64})
	if status.ReasonOf(err) != "build.lock" || !strings.Contains(err.Error(), "no version") {
		t.Errorf("got %v", err)
	}
}

func TestPylockRefusals(t *testing.T) {
	const sum = `wheels = [{hashes = {sha256 = "1111111111111111111111111111111111111111111111111111111111111111"}}]`
	for name, tt := range map[string]struct{ text, want string }{
		"no TOML":              {"lock-version = ", "not valid"},
		"another kind of file": {"[project]\nname = 'x'", `lock-version: got ""`},
		"a later version":      {"lock-version = '2.0'", `got "2.0"`},
		"packages no list":     {"lock-version = '1.0'\npackages = 3", "not valid"},
		"no version":           {"lock-version = '1.0'\n[[packages]]\nname = 'x'\n" + sum, "no version"},
		"no wheel":             {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nsdist = {hashes = {sha256 = '00'}}", "no wheel with a sha256"},
		"a hash that is none":  {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nwheels = [{hashes = {sha256 = 'x --hash=sha256:'}}]", "no wheel with a sha256"},
		"MD5":                  {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nwheels = [{hashes = {md5 = '00'}}]", "no wheel with a sha256"},
		"of git":               {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nvcs = {type = 'git', url = 'https://x'}", "no wheel with a sha256"},
		"another directory":    {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\ndirectory = {path = '../y'}", "no wheel with a sha256"},
		"a group":              {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nmarker = \"'dev' in dependency_groups\"\n" + sum, "of a group"},
		"options in a name":    {"lock-version = '1.0'\n[[packages]]\nname = '--index-url=https://evil.example x'\nversion = '1'\n" + sum, `pylock.toml: "`},
		"lines in a name":      {"lock-version = '1.0'\n[[packages]]\nname = \"x\\n--index-url=y\\nz\"\nversion = '1'\n" + sum, `pylock.toml: "`},
		"options in a version": {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1 --index-url=y'\n" + sum, `pylock.toml: "`},
		"a range":              {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1.*'\n" + sum, `pylock.toml: "`},
		"options in a marker":  {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nmarker = 'a --index-url=y'\n" + sum, `pylock.toml: "`},
		"a comment":            {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nmarker = 'a # b'\n" + sum, "several lines"},
		"lines in a marker":    {"lock-version = '1.0'\n[[packages]]\nname = 'x'\nversion = '1'\nmarker = \"a\\n--index-url=y\"\n" + sum, "several lines"},
	} {
		_, err := parsePylock([]byte(tt.text))
		if status.ReasonOf(err) != "build.lock" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
