package providerd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/peerapi"
)

// TestLentFor: a credential is for the repository that was sealed with it. Who passes
// the request on with another source, and an operator to whom GitHub is elsewhere, does
// not get it.
func TestLentFor(t *testing.T) {
	elsewhere := slug.DefaultBases()
	elsewhere.GitHub, elsewhere.GitLab = "https://git.evil.example", "https://git.evil.example"
	for name, c := range map[string]struct {
		source, repository string
		hosts              slug.Bases
		ok                 bool
	}{
		"github":             {"gh:o/r#main", "https://github.com/o/r", slug.DefaultBases(), true},
		"gitlab":             {"gl:g/r", "https://gitlab.com/g/r", slug.DefaultBases(), true},
		"any host":           {"git+https://git.example.org/r.git#v1", "https://git.example.org/r.git", elsewhere, true},
		"another repository": {"gh:o/other", "https://github.com/o/r", slug.DefaultBases(), false},
		"another host":       {"git+https://git.evil.example/o/r", "https://github.com/o/r", slug.DefaultBases(), false},
		"another port":       {"git+https://git.example.org:444/r", "https://git.example.org/r", slug.DefaultBases(), false},
		"github elsewhere":   {"gh:o/r", "https://github.com/o/r", elsewhere, false},
		"gitlab elsewhere":   {"gl:g/r", "https://gitlab.com/g/r", elsewhere, false},
		"without https":      {"gh:o/r", "http://github.com/o/r", slug.DefaultBases(), false},
		"a disk":             {"file:///srv/r", "file:///srv/r", slug.DefaultBases(), false},
		"nothing":            {"gh:o/r", "", slug.DefaultBases(), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := slug.Parse(c.source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := peerBuilds{hosts: c.hosts}.lent(s, &peerapi.BuildCredential{Repository: c.repository, Username: "u", Token: "a-canary"})
			if c.ok {
				if diff := cmp.Diff(&git.Credential{Username: "u", Password: "a-canary"}, got); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			if got != nil || status.CodeOf(err) != status.PermissionDenied || status.ReasonOf(err) != "build.credential" || strings.Contains(err.Error(), "a-canary") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got, err := (peerBuilds{}).lent(slug.Slug{}, nil); got != nil || err != nil {
		t.Errorf("nothing became %v, %v", got, err)
	}
}
