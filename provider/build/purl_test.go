package build

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPURL(t *testing.T) {
	for want, in := range map[string][4]string{
		"pkg:npm/left-pad@1.0.0":                                          {"npm", "left-pad", "1.0.0", ""},
		"pkg:npm/%40a/b@1.0.0-rc.1%2Bx":                                   {"npm", "@a/b", "1.0.0-rc.1+x", ""},
		"pkg:pypi/torch@1%212.0%2Bcpu":                                    {"pypi", "torch", "1!2.0+cpu", ""},
		"pkg:golang/example.org/x":                                        {"golang", "example.org/x", "", ""},
		"pkg:golang/a.org/x@v2%2Bincompat":                                {"golang", "a.org/x", "v2+incompat", ""},
		"pkg:npm/a@1?download_url=https://a.org/a.tgz%3Fx%3D1%26y%23z%40": {"npm", "a", "1", "https://a.org/a.tgz?x=1&y#z@"},
	} {
		if got := purl(in[0], in[1], in[2], in[3]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestPackagesAreNoBases: what a lock file names is a package by its URL, with the
// hash that was verified, whichever registry it is from.
func TestPackagesAreNoBases(t *testing.T) {
	for name, r := range requests(t) {
		res := build(t, langBuilder(t, leaving(r.left)), r.req)
		packages := 0
		for _, m := range res.Materials[1:] {
			if !strings.HasPrefix(m.URI, "pkg:npm/") && !strings.HasPrefix(m.URI, "pkg:pypi/") || len(m.Digest) != 1 {
				t.Errorf("%s: got %+v", name, m)
			}
			packages++
		}
		if packages == 0 || !strings.HasPrefix(res.Materials[0].Name, "base:") {
			t.Errorf("%s: got %+v", name, res.Materials)
		}
	}
}

// TestTwoArchives: one name and version from two places are two materials.
func TestTwoArchives(t *testing.T) {
	one, two := tarball(t, "package/index.js", "1"), tarball(t, "package/index.js", "2")
	entry := `%q:{"version":"1.0.0","resolved":"https://registry.invalid/%s.tgz","integrity":%q}`
	lock := `{"lockfileVersion":3,"packages":{` + fmt.Sprintf(entry, "node_modules/a", "x", sri(one)) + "," + fmt.Sprintf(entry, "node_modules/b/node_modules/a", "y", sri(two)) + `}}`
	res := build(t, langBuilder(t, leaving(map[string][]byte{"0.tgz": one, "1.tgz": two})), Request{Runtime: Node, FS: nodeTree(lock), Plan: nodePlan, Platform: amd64})
	if len(res.Packages) != 1 || len(res.Materials) != 3 || res.Materials[2].URI != "pkg:npm/a@1.0.0?download_url=https://registry.invalid/y.tgz" {
		t.Errorf("got %+v, %+v", res.Packages, res.Materials)
	}
}

// TestVendoredIsSource: nobody compared the tree's own node_modules with the lock
// file, so no hash is told of them.
func TestVendoredIsSource(t *testing.T) {
	lock, _ := nodeLock(t)
	tree := nodeTree(lock)
	tree["node_modules/left-pad/index.js"] = &fstest.MapFile{Data: []byte("other")}
	res := build(t, langBuilder(t, nil), Request{Runtime: Node, FS: tree, Plan: nodePlan, Platform: amd64})
	if len(res.Packages) != 1 || len(res.Materials) != 1 {
		t.Errorf("got %+v, %+v", res.Packages, res.Materials)
	}
}
