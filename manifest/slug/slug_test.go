package slug_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

const id = "1f0c2d3e4b5a69788796a5b4c3d2e1f001122334"

// TestI1SlugGrammar: what is a slug, and the one spelling that it has.
func TestI1SlugGrammar(t *testing.T) {
	tests := []struct {
		text      string
		want      slug.Slug
		canonical string // where it differs from text
	}{
		{"gh:openai/sample-app#v1.2.3", slug.Slug{Host: slug.GitHub, Repo: "openai/sample-app", Ref: "v1.2.3"}, ""},
		{"gh:org/service-a", slug.Slug{Host: slug.GitHub, Repo: "org/service-a"}, ""},
		{"gh:Org/Service-A#Main", slug.Slug{Host: slug.GitHub, Repo: "org/service-a", Ref: "Main"}, "gh:org/service-a#Main"},
		{"gh:org/.github", slug.Slug{Host: slug.GitHub, Repo: "org/.github"}, ""},
		{"gh:org_acme/a_b", slug.Slug{Host: slug.GitHub, Repo: "org_acme/a_b"}, ""},
		{"gh:o/r#feature/a-b", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "feature/a-b"}, ""},
		{"gh:o/r#fix#12", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "fix#12"}, ""},
		{"gh:o/r#refs/heads/main", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "refs/heads/main"}, ""},
		{"gh:o/r#refs/tags/v1", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "refs/tags/v1"}, ""},
		{"gh:o/r#pull/request", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "pull/request"}, ""},
		{"gh:o/r#" + id, slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: id}, ""},
		{"gh:o/r#v1@2", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "v1@2"}, ""},
		{"gh:o/r#größe", slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "größe"}, ""},
		{"gl:Group/sub/Repo#dev", slug.Slug{Host: slug.GitLab, Repo: "Group/sub/Repo", Ref: "dev"}, ""},
		{"gl:g/r", slug.Slug{Host: slug.GitLab, Repo: "g/r"}, ""},
		{"git+https://Git.Example.org/~a/b.git#x", slug.Slug{Host: slug.Git, Repo: "git.example.org/~a/b.git", Ref: "x"}, "git+https://git.example.org/~a/b.git#x"},
		{"git+https://git.example.org:8443/r", slug.Slug{Host: slug.Git, Repo: "git.example.org:8443/r"}, ""},
		{"git+https://git.example.org:443/r", slug.Slug{Host: slug.Git, Repo: "git.example.org/r"}, "git+https://git.example.org/r"},
		{"git+https://192.0.2.7:3000/r", slug.Slug{Host: slug.Git, Repo: "192.0.2.7:3000/r"}, ""},
		{"git+https://localhost/r", slug.Slug{Host: slug.Git, Repo: "localhost/r"}, ""},
		{"file:///srv/git/app.git#main", slug.Slug{Host: slug.File, Repo: "/srv/git/app.git", Ref: "main"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := slug.Parse(tt.text)
			if d := cmp.Diff(tt.want, got); err != nil || d != "" {
				t.Fatalf("%v\n%s", err, d)
			}
			want := tt.canonical
			if want == "" {
				want = tt.text
			}
			if got.String() != want {
				t.Errorf("String() = %q, want %q", got, want)
			}
			if again, err := slug.Parse(got.String()); err != nil || again != got {
				t.Errorf("Parse(String()) = %+v, %v", again, err)
			}
		})
	}
}

func TestI1SlugGrammarRefuses(t *testing.T) {
	for _, text := range []string{
		"", "gh", "gh:", "gh:/", "gh:o", "gh:o/", "gh:/r", "gh:o/r/", "gh:o/r/x", "gh://o/r", "GH:o/r", "gh: o/r", " gh:o/r", "gh:o/r ",
		"gh:-o/r", "gh:o/-r", "gh:--upload-pack=x/r", "gh:o/.", "gh:o/..", "gh:../r", "gh:o/a..b", "gh:o/r.git", "gh:o/r.GIT", "gh:o.x/r", "gh:_o/r",
		"gh:o/r\n", "gh:o/r\x00", "gh:o\\r/x", "gh:o/r?x", "gh:o/%2e%2e", "gh:ö/r", "gh:" + strings.Repeat("o", 40) + "/r", "gh:o/" + strings.Repeat("r", 101),
		"gl:g", "gl:g/", "gl:g//r", "gl:g/-/r", "gl:-g/r", "gl:g/r.git", "gl:g/../r", "gl:.g/r", "gl:" + strings.Repeat("g/", 22) + "r",
		"https://github.com/o/r", "git://h/r", "git+ssh://h/r", "git+http://h/r", "ssh://h/r", "ext::sh", "o/r", "bb:o/r",
		"git+https://", "git+https://h", "git+https://h/", "git+https:///r", "git+https://-h/r", "git+https://h-/r", "git+https://h..x/r", "git+https://h:0/r",
		"git+https://h:65536/r", "git+https://h:/r", "git+https://h:08/r", "git+https://h:1:2/r", "git+https://127.1/r", "git+https://2130706433/r",
		"git+https://0x7f000001/r", "git+https://1.2.3.4.5/r", "git+https://[::1]/r", "git+https://h/-r", "git+https://h/../r", "git+https://h/a//r",
		"git+https://h/r/", "git+https://h/r?x=1", "git+https://h/a b", "git+https://h/%41", "git+https://h_x/r", "git+https://" + strings.Repeat("a.", 130) + "a/r",
		"file://", "file:///", "file://host/path", "file:/a", "file:///a/../b", "file:///a//b", "file:///a/", "file:///-a", "file:///a b", "file:///a\\b", "file:///./a",
		"gh:o/r#" + strings.Repeat("x", 256), strings.Repeat("g", slug.MaxLen+1),
	} {
		t.Run(text, func(t *testing.T) { refused(t, text) })
	}
}

func refused(t *testing.T, text string) {
	t.Helper()
	s, err := slug.Parse(text)
	if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "slug.invalid" || s != (slug.Slug{}) {
		t.Errorf("Parse = %+v, %v, want a refusal", s, err)
	}
	if err != nil && (!strings.Contains(err.Error(), "got ") || !strings.Contains(err.Error(), "want ")) {
		t.Errorf("%q does not say what was got and wanted", err)
	}
}

// TestI1SlugKeepsPasswords: what looks like credentials is refused and not repeated.
func TestI1SlugKeepsPasswords(t *testing.T) {
	for _, text := range []string{
		"git+https://user:hunter2@h/r", "git+https://hunter2@h/r#x", "https://u:hunter2@github.com/o/r", "gh:hunter2@o/r", "file:///hunter2@x", "hunter2@h:o/r",
	} {
		refused(t, text)
		if _, err := slug.Parse(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestI1SlugRefs(t *testing.T) {
	for _, ref := range []string{
		"", "-x", "--upload-pack=x", "a/-b", "a b", "a\tb", "a\x7fb", "a\u0085", "a\u202eb", "a\xff", "..", "a..b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "/a", "a/", "a//b",
		"@", "a@{1}", "a~1", "a^", "a:b", "a?b", "a*b", "a[b", `a\b`, "HEAD", "FETCH_HEAD", "ORIG_HEAD", "refs", "refs/", "refs/heads", "refs/heads/", "refs/tags/", "refs/heads/HEAD",
		"refs/pull/1/head", "refs/pull/1/merge", "refs/merge-requests/1/head", "refs/notes/commits", "refs/remotes/origin/main", "refs/stash", "refs/heads/refs/pull/1/head",
		"pull/1/head", "pull/12/merge", "merge-requests/3/head", "changes/01/1/2", "refs/heads/pull/1/head", strings.ToUpper(id), strings.Repeat("a", 256),
	} {
		if err := slug.CheckRef(ref); status.ReasonOf(err) != "slug.invalid" {
			t.Errorf("CheckRef(%q) = %v, want a refusal", ref, err)
		}
		refused(t, "gh:o/r#"+ref)
	}
	for _, ref := range []string{"main", "v1.2.3", "a/b/c", "a-b", "x@y", "release/2.0", "refs/heads/a/b", "refs/tags/v1", id, "abcd", "pull", "heads/x", "日本", "ABCD"} {
		if err := slug.CheckRef(ref); err != nil {
			t.Errorf("CheckRef(%q) = %v", ref, err)
		}
	}
}

func TestSHA(t *testing.T) {
	for _, tt := range []struct {
		ref         string
		full, maybe bool
	}{
		{id, true, true},
		{id[:7], false, true},
		{id[:4], false, true},
		{id[:3], false, false},
		{"", false, false},
		{"main", false, false},
		{"deadbeef", false, true},
		{"DEADBEEF", false, false},
		{id + "0", false, false},
		{id[:39] + "g", false, false},
		{id + "\n", false, false},
	} {
		if slug.FullSHA(tt.ref) != tt.full || slug.MaybeSHA(tt.ref) != tt.maybe {
			t.Errorf("%q: full %t, maybe %t", tt.ref, slug.FullSHA(tt.ref), slug.MaybeSHA(tt.ref))
		}
	}
}

func TestURLs(t *testing.T) {
	own := slug.Bases{GitHub: "http://127.0.0.1:1/", GitHubAPI: "http://127.0.0.1:2", GitLab: "https://lab.example"}
	for _, tt := range []struct {
		text, name, clone, canonical, own string
	}{
		{"gh:O/R#x", "r", "https://github.com/o/r.git", "https://github.com/o/r", "http://127.0.0.1:1/o/r.git"},
		{"gl:g/s/My_App", "my-app", "https://gitlab.com/g/s/My_App.git", "https://gitlab.com/g/s/My_App", "https://lab.example/g/s/My_App.git"},
		{"git+https://h.example/a/b.git", "b", "https://h.example/a/b.git", "https://h.example/a/b.git", "https://h.example/a/b.git"},
		{"git+https://h.example/a/~+", "app", "https://h.example/a/~+", "https://h.example/a/~+", "https://h.example/a/~+"},
		{"file:///srv/..x..", "", "", "", ""},
		{"file:///srv/.hidden..", "", "", "", ""},
		{"file:///srv/__a__b__", "a-b", "file:///srv/__a__b__", "file:///srv/__a__b__", "file:///srv/__a__b__"},
		{"gh:o/" + strings.Repeat("a", 39) + "-b", strings.Repeat("a", 39), "https://github.com/o/" + strings.Repeat("a", 39) + "-b.git", "https://github.com/o/" + strings.Repeat("a", 39) + "-b", "http://127.0.0.1:1/o/" + strings.Repeat("a", 39) + "-b.git"},
	} {
		s, err := slug.Parse(tt.text)
		if (err != nil) != (tt.name == "") {
			t.Errorf("%s: %v", tt.text, err)
		}
		if err != nil {
			continue
		}
		got := []string{s.Name(), s.CloneURL(slug.DefaultBases()), s.Canonical(slug.DefaultBases()), s.CloneURL(own)}
		if d := cmp.Diff([]string{tt.name, tt.clone, tt.canonical, tt.own}, got); d != "" {
			t.Errorf("%s: %s", tt.text, d)
		}
	}
	if z := (slug.Slug{}); z.String() != "" || z.Canonical(own) != "" || z.CloneURL(own) != "" {
		t.Errorf("the zero value is %q, %q", z, z.CloneURL(own))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"gh:openai/sample-app#v1.2.3", "gl:g/s/r#x", "git+https://h.example:8443/a/b.git#refs/heads/x", "file:///srv/a#" + id,
		"gh:o/r#refs/pull/1/head", "gh:-o/r", "git+https://u:p@h/r", "gh:o/../r", "gh:o/r#a@{1}", "GH:O/R", "git+https://127.1/r",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := slug.Parse(text)
		if err != nil {
			refused(t, text)
			return
		}
		if again, err := slug.Parse(s.String()); err != nil || again != s {
			t.Fatalf("Parse(%q) = %+v, %v, want %+v", s.String(), again, err, s)
		}
		for _, u := range []string{s.CloneURL(slug.DefaultBases()), s.Canonical(slug.DefaultBases())} {
			if strings.ContainsAny(u, "@ \\\n\x00%?#") || strings.Contains(u, "/-") || strings.Contains(u, "/../") {
				t.Fatalf("%q becomes %q", text, u)
			}
		}
		if strings.HasPrefix(s.Ref, "-") || strings.Contains(s.Ref, "..") || strings.ContainsAny(s.Ref, " \n\x00\\") {
			t.Fatalf("%q has the reference %q", text, s.Ref)
		}
		if n := s.Name(); n == "" || len(n) > 40 || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Fatalf("%q is called %q", text, n)
		}
	})
}
