package slug_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

func gh(repo, ref string) slug.Slug { return slug.Slug{Host: slug.GitHub, Repo: repo, Ref: ref} }

// TestI2Lists: YAML and JSON, bare and under "slugs", read to the same.
func TestI2Lists(t *testing.T) {
	want := []slug.Item{
		{Slug: gh("org/service-a", ""), Line: 1},
		{Slug: gh("org/service-b", "v1"), Name: "b", Path: "apps/b", Line: 2},
	}
	for name, text := range map[string]string{
		"yaml":       "- gh:org/service-a\n- {slug: 'gh:org/service-b#v1', name: b, path: ./apps/b/}\n",
		"yaml map":   "slugs: [gh:org/service-a,\n  {slug: 'gh:org/service-b#v1', name: b, path: apps/b}]\n",
		"json":       `["gh:org/service-a",` + "\n" + `{"slug":"gh:org/service-b#v1","name":"b","path":"apps/b"}]`,
		"json map":   `{"slugs":["gh:org/service-a",` + "\n\t" + `{"slug":"gh:org/service-b#v1","name":"b","path":"apps/b"}]}`,
		"plain hash": "- gh:Org/Service-A\n- {slug: gh:org/service-b#v1, name: b, path: apps/b}\n",
	} {
		got, err := slug.ParseList([]byte(text))
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	got, err := slug.ParseList([]byte("- slug: gh:o/mono\n  path: a/One\n- slug: gh:o/mono\n  path: .\n"))
	if err != nil || len(got) != 2 || got[0].AppName() != "one" || got[1].AppName() != "mono" || got[1].Line != 3 {
		t.Errorf("two apps of one repository: %+v, %v", got, err)
	}
}

// TestI2ListsRefuse: each fault has its line, and all of them come at once.
func TestI2ListsRefuse(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // "LINE text"
	}{
		{"empty", "", []string{"0 empty file"}},
		{"null", "null", []string{"1 list of slugs"}},
		{"text", "gh:o/r", []string{"1 list of slugs"}},
		{"empty list", "[]", []string{"1 a slug at least"}},
		{"empty map", "{}", []string{"1 required"}},
		{"no list", "slugs: gh:o/r", []string{"1 want a list"}},
		{"two documents", "- gh:o/r\n---\n- gh:o/x\n", []string{"0 second document"}},
		{"alias", "- &a gh:o/r\n- *a\n", []string{"1 anchor", "2 alias"}},
		{"tag", "- !!str gh:o/r\n", []string{"1 tag"}},
		{"syntax", "- gh:o/r\n- [", []string{"2 YAML"}},
		{"unknown field", "slug: [gh:o/r]", []string{`1 did you mean "slugs"`, "1 slugs: got nothing"}},
		{"unknown item field", "- {slug: gh:o/r, paht: a}", []string{`1 did you mean "path"`}},
		{"no slug", "- {name: a}", []string{"1 required"}},
		{"all at once", "- gh:o/r\n- o/r\n- 7\n- [x]\n- gh:o/r\n- {slug: 'gh:o/y#-x', name: A, path: ../x}\n", []string{
			"2 gh:OWNER/REPO", "3 text", "4 text", "5 a second time, want it once, first on line 1", "6 hyphen", "6 DNS label", "6 below the root",
		}},
		{"case is folded", "- gh:o/r\n- gh:O/R\n", []string{"2 first on line 1"}},
		{"one name", "- gh:a/web\n- gh:b/web\n", []string{"2 a second app called web, the first on line 1"}},
		{"named as another", "- gh:a/web\n- {slug: gh:b/x, name: web}\n", []string{"2 called web"}},
		{"key twice", "slugs: [gh:o/r]\nslugs: [gh:o/x]\n", []string{"2 a second time"}},
		{"absolute path", "- {slug: gh:o/r, path: /etc}", []string{"1 below the root"}},
		{"long path", "- {slug: gh:o/r, path: " + strings.Repeat("a/", 300) + "a}", []string{"1 below the root"}},
		{"path is a list", "- {slug: gh:o/r, path: [a]}", []string{"1 text"}},
		{"password", "- git+https://u:hunter2@h/r", []string{"1 never stands in a slug"}},
		{"too many", strings.Repeat("- gh:o/r\n", 257), []string{"1 at most 256"}},
		{"too large", "#" + strings.Repeat(" ", slug.MaxListBytes), []string{"0 at most 262144 bytes"}},
		{"deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), []string{"1 levels", "1 text"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, err := slug.ParseList([]byte(tt.text))
			var e *status.Error
			if !errors.As(err, &e) || e.Code != status.InvalidArgument || e.Reason != "slug.list" || items != nil {
				t.Fatalf("%+v, %v", items, err)
			}
			if strings.Contains(fmt.Sprint(e.Faults), "hunter2") {
				t.Error("the password is repeated")
			}
			if len(e.Faults) < len(tt.want) {
				t.Fatalf("faults %v", e.Faults)
			}
			for i, want := range tt.want {
				line, text, _ := strings.Cut(want, " ")
				if f := e.Faults[i]; fmt.Sprint(f.Line) != line || !strings.Contains(f.String(), text) {
					t.Errorf("fault %d is %q, want %q on line %s", i, f, text, line)
				}
			}
			if n := len(e.Faults); n > len(tt.want) && tt.name != "too many" {
				t.Errorf("more faults than %v: %v", tt.want, e.Faults)
			}
		})
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{
		"- gh:o/r\n", "slugs: [gh:o/r, {slug: gl:a/b, name: x, path: a/b}]", `["gh:o/r#v1","gh:o/x"]`, `{"slugs":[{"slug":"gh:o/r"}]}`, "- &a gh:o/r\n- *a\n", "[[[[", "- gh:o/r\n- gh:O/r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := slug.ParseList(data)
		if err != nil {
			var e *status.Error
			if items != nil || !errors.As(err, &e) || len(e.Faults) == 0 {
				t.Fatalf("%+v, %v", items, err)
			}
			return
		}
		if len(items) == 0 || len(items) > slug.MaxListItems {
			t.Fatalf("%d items", len(items))
		}
		for _, i := range items {
			if again, err := slug.Parse(i.Slug.String()); err != nil || again != i.Slug || i.Line == 0 || strings.HasPrefix(i.Path, "/") || strings.Contains(i.Path, "..") {
				t.Fatalf("%+v, %v", i, err)
			}
		}
	})
}
