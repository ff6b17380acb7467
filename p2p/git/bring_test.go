package git_test

import (
	"errors"
	"net/http"
	"testing"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

// TestBring: the same commits and files as by the two calls, for each kind of ref,
// with half of the packs where the commit is the last one of its branch.
func TestBring(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("group/app")
	first := r.Commit("main", map[string]string{"old": "1"})
	r.Tag("v1", first)
	last := r.Commit("main", sample, gittest.Program("bin/run"), gittest.Links("l"))
	r.AnnotatedTag("v2", last)
	f := newFetcher(t, s, func(c *git.Config) { c.AllowFile = []string{r.Dir()} })
	for _, host := range []slug.Slug{{Host: slug.GitLab, Repo: "group/app"}, {Host: slug.File, Repo: r.Dir()}, r.Slug("")} {
		for _, tt := range []struct {
			ref, branch, id string
			packs           int
		}{
			{"", "", last, 1},
			{"main", "", last, 1},
			{"v2", "", last, 1},
			{"v1", "", first, 1},
			{last, "", last, 1},
			{first, "", first, 2}, // the history, and the commit
			{"v1", "main", first, 2},
			{last[:9], "", last, 2},
		} {
			host.Ref = tt.ref
			before, checked := s.Count(gittest.Pack), 0
			tree := newTree(t)
			found, how, err := f.Bring(t.Context(), git.Want{Slug: host, Branch: tt.branch}, func(r git.Resolved) error {
				if _, entries := tree.Size(); entries != 0 || r.Commit.ID != tt.id {
					t.Errorf("checked %s with %d files there, want %s before them", r.Commit.ID, entries, tt.id)
				}
				checked++
				return nil
			}, tree, nil)
			if err != nil || found.Commit.ID != tt.id || checked != 1 || how.Bytes <= 0 {
				t.Fatalf("%v: %+v, %+v, checked %d times, %v", host, found, how, checked, err)
			}
			packs := s.Count(gittest.Pack) - before
			two := resolve(t, f, git.Want{Slug: host, Branch: tt.branch})
			if string(two.Raw) != string(found.Raw) || two.Branch != found.Branch || two.Head != found.Head || two.Repository != found.Repository {
				t.Errorf("%v: got %+v, want %+v", host, found, two)
			}
			if want := map[string]string{"old": "1"}; tt.id == first {
				equal(t, contents(t, tree.FS()), want)
			} else {
				equal(t, contents(t, tree.FS()), sampleWant)
			}
			if host.Host == slug.GitLab && packs != tt.packs {
				t.Errorf("%v: %d packs, want %d", host, packs, tt.packs)
			}
		}
	}
}

// TestBringRefused: what is refused between, or by the server, leaves no file.
func TestBringRefused(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("group/app")
	r.Commit("main", sample)
	tree := r.RawTree()
	r.Tag("tree", tree)
	r.AnnotatedTag("named", tree)
	f := newFetcher(t, s)
	no := errors.New("no")
	here := slug.Slug{Host: slug.GitLab, Repo: "group/app"}
	for _, h := range []slug.Slug{here, r.Slug("")} {
		to := newTree(t)
		_, _, err := f.Bring(t.Context(), git.Want{Slug: h}, func(git.Resolved) error { return no }, to, nil)
		if _, entries := to.Size(); !errors.Is(err, no) || entries != 0 {
			t.Errorf("%v: %v, and %d entries", h, err, entries)
		}
	}
	for _, ref := range []string{"tree", "named", "nothing", "-x"} {
		here.Ref = ref
		_, _, err := f.Bring(t.Context(), git.Want{Slug: here}, nil, newTree(t), nil)
		if status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%q: got %v", ref, err)
		}
	}
	here.Ref = ""
	full := newTree(t)
	if err := full.AddFile(t.Context(), "x", http.NoBody, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Bring(t.Context(), git.Want{Slug: here}, nil, full, nil); err == nil {
		t.Error("brought into a tree with a file")
	}
	small := newFetcher(t, s, func(c *git.Config) {
		c.Limits = git.DefaultLimits()
		c.Limits.Entries = 3
	})
	_, _, err := small.Bring(t.Context(), git.Want{Slug: here}, nil, newTree(t), nil)
	wantReason(t, err, status.ResourceExhausted, git.ReasonSize)
}
