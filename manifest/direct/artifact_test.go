package direct

import (
	"strings"
	"testing"

	"apocryph/proto/status"
)

// TestArtifact: what was uploaded before takes the place of files, of the runtimes that
// are no build.
func TestArtifact(t *testing.T) {
	const id = "00000000-0000-4000-8000-00000000000A"
	m, err := Parse([]byte(`{"name":"a","namespace":"ns","runtime":"static","artifact_id":"`+id+`"}`), Defaults{})
	if err != nil || m.ArtifactID != strings.ToLower(id) {
		t.Errorf("got %+v, %v", m, err)
	}
	for body, field := range map[string]string{
		`"runtime":"static","artifact_id":"a1"`:                                "/artifact_id",
		`"runtime":"static","artifact_id":7`:                                   "/artifact_id",
		`"runtime":"python","artifact_id":"` + id + `"`:                        "/runtime",
		`"artifact_id":"` + id + `"`:                                           "/runtime",
		`"runtime":"image","image":"r.example/a:1","artifact_id":"` + id + `"`: "/artifact_id",
		`"runtime":"static","source":"gh:a/b","artifact_id":"` + id + `"`:      "/artifact_id",
	} {
		_, err := Parse([]byte(`{"name":"a","namespace":"ns",`+body+`}`), Defaults{})
		if status.CodeOf(err) != status.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want a fault of %s", body, err, field)
		}
	}
	if _, err := ParseYAML([]byte("name: a\nruntime: static\nartifact_id: "+id+"\n"), Defaults{Namespace: "ns"}); err == nil {
		t.Error("a file of a repository names an artifact")
	}
}
