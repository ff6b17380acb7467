package git_test

import (
	"net/http"
	"testing"

	"apocryph/attest/commit"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

var sample = map[string]string{"main.py": "print(1)\n", "bin/run": "#!/bin/sh\n", "l": "bin/run", "a.b": "", "a/x": "y", "a0": "", "ü": "z"}

var sampleWant = map[string]string{"main.py": "print(1)\n", "bin/run": "+x #!/bin/sh\n", "l": "-> bin/run", "a.b": "", "a/x": "y", "a0": "", "ü": "z"}

func equal(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: got %q, want %q", name, got[name], text)
		}
	}
}

// TestI3TarballThenClone: the archive is asked for once, and where it is of no
// use a clone brings the same files, for each kind of ref.
func TestI3TarballThenClone(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	id := r.Commit("main", sample, gittest.Program("bin/run"), gittest.Links("l"))
	r.Tag("v1", id)
	f := newFetcher(t, s)
	for _, tt := range []struct {
		name, method string
		code         int
		before       func(string, http.ResponseWriter, *http.Request) bool
		down         int
	}{
		{name: "archive", method: git.MethodArchive, down: 1},
		{name: "404", method: git.MethodClone, code: 404},
		{name: "500", method: git.MethodClone, code: 500},
		{name: "not an archive", method: git.MethodClone, down: 1, before: func(kind string, w http.ResponseWriter, _ *http.Request) bool {
			if kind == gittest.Codeload {
				_, _ = w.Write([]byte("<html>"))
			}
			return kind == gittest.Codeload
		}},
		{name: "another host without https", method: git.MethodClone, before: func(kind string, w http.ResponseWriter, r *http.Request) bool {
			if kind == gittest.Tarball {
				http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusFound)
			}
			return kind == gittest.Tarball
		}},
		{name: "in a circle", method: git.MethodClone, before: func(kind string, w http.ResponseWriter, r *http.Request) bool {
			if kind == gittest.Tarball {
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
			}
			return kind == gittest.Tarball
		}},
	} {
		for _, ref := range []string{"", "main", "v1", id, id[:8]} {
			s.Before(tt.before)
			if tt.code != 0 {
				s.Fail(tt.code, gittest.Tarball)
			}
			tars, loads := s.Count(gittest.Tarball), s.Count(gittest.Codeload)
			out, files, err := fetch(t, f, git.Want{Slug: r.Slug(ref)})
			if err != nil || out.Method != tt.method || (out.Reason == "") != (tt.method == git.MethodArchive) || out.Bytes <= 0 && tt.code == 0 {
				t.Fatalf("%s, %q: %+v, %v", tt.name, ref, out, err)
			}
			equal(t, files, sampleWant)
			if n := s.Count(gittest.Tarball) - tars; n != 1 && tt.name != "in a circle" || n > 4 {
				t.Errorf("%s: %d requests for an archive", tt.name, n)
			}
			if n := s.Count(gittest.Codeload) - loads; n != tt.down {
				t.Errorf("%s: %d archives, want %d", tt.name, n, tt.down)
			}
			if tt.method == git.MethodClone {
				break
			}
		}
	}
}

// TestG5TreeIsRecomputed: attributes of the repository, and a host that answers
// with other bytes, do not change what is deployed.
func TestG5TreeIsRecomputed(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	f := newFetcher(t, s)
	want := func(files map[string]string) {
		t.Helper()
		w := git.Want{Slug: r.Slug("")}
		res := resolve(t, f, w)
		tree := newTree(t)
		out, err := f.Fetch(t.Context(), w, res, tree, nil)
		if err != nil || out.Method != git.MethodClone {
			t.Fatalf("%+v, %v", out, err)
		}
		equal(t, contents(t, tree.FS()), files)
		if id, err := commit.Tree(tree.FS()); err != nil || id != res.Commit.Tree {
			t.Errorf("tree %s, %v, want %s", id, err, res.Commit.Tree)
		}
	}
	for _, files := range []map[string]string{
		{".gitattributes": "secret export-ignore\n", "secret": "x", "f": "y"},
		{".gitattributes": "f export-subst\n", "f": "$Format:%H$\n"},
		{".gitattributes": "f ident text eol=crlf filter=lfs\n", "f": "$Id$\nline\n", "g": "x"},
	} {
		r.Commit("main", files)
		if files["g"] == "" {
			want(files)
		} else if _, got, err := fetch(t, f, git.Want{Slug: r.Slug("")}); err != nil {
			t.Error(err)
		} else {
			equal(t, got, files)
		}
	}
	// The archive of another commit, in place of the one that was asked for.
	other := r.Commit("evil", map[string]string{"f": "evil"})
	s.Before(func(kind string, w http.ResponseWriter, req *http.Request) bool {
		if kind == gittest.Tarball {
			http.Redirect(w, req, "/codeload/acme/app/x/"+other, http.StatusFound)
		}
		return kind == gittest.Tarball
	})
	r.Commit("main", map[string]string{"f": "good"})
	want(map[string]string{"f": "good"})
	// And a commit whose object is not the one that its id says.
	w := git.Want{Slug: r.Slug("")}
	res := resolve(t, f, w)
	forged := res
	forged.Commit.Tree = r.RawTree()
	if _, err := f.Fetch(t.Context(), w, forged, newTree(t), nil); err == nil {
		t.Error("another tree was taken")
	}
}

// TestG4PathIsNotLeft: a path is a directory within the commit.
func TestG4PathIsNotLeft(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"metrics/a/f": "1", "metrics/link": "a", "l": "metrics", "f": "2"}, gittest.Links("metrics/link", "l"))
	f := newFetcher(t, s)
	w := git.Want{Slug: r.Slug("")}
	tree := newTree(t)
	if _, err := f.Fetch(t.Context(), w, resolve(t, f, w), tree, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]map[string]string{
		"": {"metrics/a/f": "1", "metrics/link": "-> a", "l": "-> metrics", "f": "2"}, ".": {"metrics/a/f": "1", "metrics/link": "-> a", "l": "-> metrics", "f": "2"},
		"metrics": {"a/f": "1", "link": "-> a"}, "metrics/": {"a/f": "1", "link": "-> a"}, "metrics/a": {"f": "1"},
	} {
		sub, err := git.Sub(tree.FS(), path)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		equal(t, contents(t, sub), want)
	}
	for _, path := range []string{"..", "../x", "metrics/../..", "/metrics", "/", "//", "metrics//a", "metrics/..", "./metrics", "nope", "metrics/nope", "f", "metrics/a/f", "f/x", "l", "l/a", "metrics/link", "METRICS", `metrics\a`, "a\x00", "\xff"} {
		_, err := git.Sub(tree.FS(), path)
		wantReason(t, err, status.InvalidArgument, git.ReasonPath)
	}
}

// TestOtherHosts: what makes no archives is cloned, and local repositories are
// read where the operator allows it.
func TestOtherHosts(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("group/app")
	id := r.Commit("main", map[string]string{"f": "1"})
	r.Commit("main", map[string]string{"f": "2"})
	allowed := newFetcher(t, s, func(c *git.Config) { c.AllowFile = []string{r.Dir()} })
	for _, h := range []slug.Slug{{Host: slug.GitLab, Repo: "group/app", Ref: id}, {Host: slug.File, Repo: r.Dir(), Ref: id}} {
		out, files, err := fetch(t, allowed, git.Want{Slug: h})
		if err != nil || out.Method != git.MethodClone {
			t.Fatalf("%s: %+v, %v", h.Host, out, err)
		}
		equal(t, files, map[string]string{"f": "1"})
	}
	if s.Count(gittest.Tarball) != 0 {
		t.Error("an archive was asked for")
	}
	none := newFetcher(t, s)
	beside := newFetcher(t, s, func(c *git.Config) { c.AllowFile = []string{r.Dir()[:len(r.Dir())-1]} })
	for _, f := range []*git.Fetcher{none, beside} {
		_, err := f.Resolve(t.Context(), git.Want{Slug: slug.Slug{Host: slug.File, Repo: r.Dir()}})
		wantReason(t, err, status.PermissionDenied, git.ReasonFile)
	}
	_, err := allowed.Resolve(t.Context(), git.Want{Slug: slug.Slug{Host: slug.File, Repo: r.Dir() + "/../../../../etc"}})
	wantReason(t, err, status.PermissionDenied, git.ReasonFile)
	// A server that gives no commits by their ids, and does not filter.
	r.Config("[uploadpack]\n\tallowAnySHA1InWant = false\n\tallowFilter = false\n")
	_, files, err := fetch(t, none, git.Want{Slug: slug.Slug{Host: slug.GitLab, Repo: "group/app", Ref: id}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, files, map[string]string{"f": "1"})
}

// TestUnavailable: a host that does not answer is not a repository that is not there.
func TestUnavailable(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"f": "1"})
	f := newFetcher(t, s)
	w := git.Want{Slug: r.Slug("")}
	res := resolve(t, f, w)
	s.Fail(502, gittest.Tarball, gittest.Refs, gittest.Pack)
	_, err := f.Resolve(t.Context(), w)
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable, "acme/app")
	_, err = f.Fetch(t.Context(), w, res, newTree(t), nil)
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable)
	gone := newFetcher(t, s, func(c *git.Config) { c.Bases.GitHub = "http://127.0.0.1:1" })
	_, err = gone.Resolve(t.Context(), w)
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable)
}
