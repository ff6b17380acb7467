package build

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/proto/status"
)

// lockOf is a lock file of one package.
func lockOf(at, fields string) string {
	return fmt.Sprintf(`{"lockfileVersion":3,"packages":{%q:{"version":"1.0.0"%s}}}`, at, fields)
}

func TestLockRefusals(t *testing.T) {
	good := tarball(t, "package/index.js", "")
	from := `,"resolved":"https://registry.invalid/a.tgz"`
	sum := `,"integrity":"` + sri(good) + `"`
	for name, tt := range map[string]struct {
		lock   string
		left   []byte
		reason string
		want   string
	}{
		"no json":         {"{", nil, "build.lock", "is not valid"},
		"old":             {`{"lockfileVersion":1}`, nil, "build.lock", "got 1, want 2 or 3"},
		"no integrity":    {lockOf("node_modules/a", from), nil, "build.lock", "integrity"},
		"sha1 only":       {lockOf("node_modules/a", from+`,"integrity":"sha1-AAAA"`), nil, "build.lock", "integrity"},
		"short":           {lockOf("node_modules/a", from+`,"integrity":"sha512-AAAA"`), nil, "build.lock", "integrity"},
		"bad version":     {`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"../../x"` + sum + `}}}`, nil, "build.lock", "a name and a version"},
		"bad name":        {`{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1","name":"a/../../b"` + sum + `}}}`, nil, "build.lock", "a name and a version"},
		"no URL":          {lockOf("node_modules/a", sum), nil, "build.lock", "no registry of its own"},
		"file":            {lockOf("node_modules/a", sum+`,"resolved":"file:../a"`), nil, "build.lock", "resolved"},
		"password":        {lockOf("node_modules/a", sum+`,"resolved":"https://a:b@registry.invalid/a"`), nil, "build.lock", "resolved"},
		"long URL":        {lockOf("node_modules/a", sum+`,"resolved":"https://registry.invalid/`+strings.Repeat("%", 800)+`"`), nil, "build.lock", "resolved"},
		"git":             {lockOf("node_modules/a", sum+`,"resolved":"git+ssh://git@example.org/a.git#0"`), nil, "build.lock", "resolved"},
		"workspace":       {lockOf("node_modules/a", `,"link":true,"resolved":"packages/a"`), nil, "build.lock", "a link"},
		"above":           {lockOf("node_modules/../../etc", from+sum), nil, "build.lock", "below node_modules"},
		"bin":             {lockOf("node_modules/a", from+sum+`,"bin":{"../../x":"x"}`), nil, "build.lock", "bin"},
		"bin target":      {lockOf("node_modules/a", from+sum+`,"bin":{"x":"../../x"}`), nil, "build.lock", "bin"},
		"nothing left":    {lockOf("node_modules/a", from+sum), nil, "build.output", "got nothing"},
		"other bytes":     {lockOf("node_modules/a", from+sum), tarball(t, "package/evil.js", ""), "build.archive", "another hash"},
		"above, tar":      {"", tarball(t, "package/../../x", ""), "build.archive", "want a path within"},
		"absolute":        {"", tarball(t, "/etc/passwd", ""), "build.archive", "want a path within"},
		"no gzip":         {"", []byte("hello"), "build.archive", "no gzip"},
		"no tar":          {"", zipped(t, []byte("hello")), "build.archive", "no tar archive"},
		"file and dir":    {"", tarball(t, "package/a", "", "package/a/b", ""), "build.archive", "beside the others"},
		"different twice": {"", tarball(t, "package/a", "1", "package/a", "2"), "build.archive", "different files"},
		"long name":       {"", tarball(t, "package/"+strings.Repeat("x", 256), ""), "build.archive", "want a path within"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.lock == "" {
				tt.lock = lockOf("node_modules/a", from+`,"integrity":"`+sri(tt.left)+`"`)
			}
			files := map[string][]byte{}
			if tt.left != nil {
				files["0.tgz"] = tt.left
			}
			_, err := langBuilder(t, leaving(files)).Build(t.Context(), Request{Runtime: Node, FS: nodeTree(tt.lock), Plan: nodePlan, Platform: amd64})
			text := describeFaults(err)
			if status.ReasonOf(err) != tt.reason || !strings.Contains(text, tt.want) {
				t.Errorf("got %s, want %s %q", text, tt.reason, tt.want)
			}
		})
	}
}

func TestNodeWithoutLock(t *testing.T) {
	for name, tt := range map[string]struct {
		tree   fstest.MapFS
		reason string
	}{
		"no dependencies": {fstest.MapFS{"server.js": {}, "package.json": {Data: []byte(`{"name":"x"}`)}}, ""},
		"no package.json": {fstest.MapFS{"server.js": {}}, ""},
		"vendored":        {fstest.MapFS{"server.js": {}, "package.json": {Data: []byte(`{"dependencies":{"a":"1"}}`)}, "node_modules/a/index.js": {}}, ""},
		"no lock":         {fstest.MapFS{"server.js": {}, "package.json": {Data: []byte(`{"dependencies":{"a":"1"}}`)}}, "build.lock"},
		"yarn":            {fstest.MapFS{"server.js": {}, "yarn.lock": {}, "package.json": {Data: []byte(`{"dependencies":{"a":"1"}}`)}}, "build.lock"},
		"no json":         {fstest.MapFS{"server.js": {}, "package.json": {Data: []byte(`{`)}}, "build.lock"},
		"empty":           {fstest.MapFS{"__pycache__/x": {}}, "build.empty"},
	} {
		res, err := langBuilder(t, nil).Build(t.Context(), Request{Runtime: Node, FS: tt.tree, Plan: nodePlan, Platform: amd64})
		if status.ReasonOf(err) != tt.reason && !(err == nil && tt.reason == "") {
			t.Errorf("%s: got %v, want %q", name, err, tt.reason)
		}
		if err == nil {
			must(t, res.Close())
		}
	}
}

// TestNpmStart: a base need not have npm, and people are told.
func TestNpmStart(t *testing.T) {
	plan := *nodePlan
	plan.Argv = []string{"npm", "start"}
	res := build(t, langBuilder(t, nil), Request{Runtime: Node, FS: fstest.MapFS{"server.js": {}}, Plan: &plan, Platform: amd64})
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "npm") {
		t.Errorf("got %q", res.Warnings)
	}
}

func FuzzLock(f *testing.F) {
	lock, _ := nodeLock(f)
	f.Add([]byte(lock))
	f.Add([]byte(lockOf("node_modules/a", `,"link":true`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseLock(data, amd64)
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("got %v", err)
		}
		for _, p := range all {
			if !strings.HasPrefix(p.path, "node_modules/") || !safeName(p.path) || len(p.integrity.sum) < 32 {
				t.Errorf("got %+v", p)
			}
		}
	})
}

func FuzzTarball(f *testing.F) {
	f.Add(tarball(f, "package/index.js", "x", "package/a/b", "y"))
	f.Add(tarball(f, "package/../../x", ""))
	f.Add(zipped(f, []byte("hello")))
	f.Fuzz(func(t *testing.T, data []byte) {
		res := &Result{dir: t.TempDir()}
		s, err := newStaging(t.Context(), res)
		must(t, err)
		defer s.close()
		err = npmPackage{path: "node_modules/a", name: "a"}.files(bytes.NewReader(data), s)
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})
}
