package git_test

import (
	"net/http"
	"strings"
	"testing"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

// TestG2RefKinds: each kind of ref names one commit, and what has two meanings
// or none is refused.
func TestG2RefKinds(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	first := r.Commit("main", map[string]string{"f": "1"})
	second := r.Commit("main", map[string]string{"f": "2"})
	r.Branch("feature/a-b", first)
	side := r.Commit("feature/a-b", map[string]string{"f": "side"})
	r.Tag("v1", first)
	r.AnnotatedTag("v2", second)
	r.Branch("both", first)
	r.Tag("both", second)
	r.Branch("same", first)
	r.Tag("same", first)
	r.Branch(first, side)       // a branch that is called like a commit
	r.Branch("deadbee", second) // and like a short one
	r.Ref("refs/pull/1/head", side)
	r.AnnotatedTag("tree", r.RawTree()) // says that it names a commit
	r.Tag("bare-tree", r.RawTree())
	f := newFetcher(t, s)
	for _, tt := range []struct {
		name, ref, branch string
		only, ofDefault   bool
		id, on, reason    string
	}{
		{name: "default branch", id: second, on: "refs/heads/main"},
		{name: "branch", ref: "main", id: second, on: "refs/heads/main"},
		{name: "branch with a slash", ref: "feature/a-b", id: side, on: "refs/heads/feature/a-b"},
		{name: "full branch", ref: "refs/heads/feature/a-b", id: side, on: "refs/heads/feature/a-b"},
		{name: "tag", ref: "v1", id: first, on: "refs/tags/v1"},
		{name: "tag of the branch", ref: "v1", branch: "main", id: first, on: "refs/heads/main"},
		{name: "annotated tag", ref: "v2", id: second, on: "refs/tags/v2"},
		{name: "annotated tag of the branch", ref: "v2", branch: "main", id: second, on: "refs/heads/main"},
		{name: "full tag", ref: "refs/tags/both", id: second, on: "refs/tags/both"},
		{name: "commit", ref: first, id: first, on: "refs/heads/main"},
		{name: "head commit", ref: second, branch: "main", id: second, on: "refs/heads/main"},
		{name: "short commit", ref: first[:7], id: first, on: "refs/heads/main"},
		{name: "short commit of a branch", ref: side[:9], branch: "feature/a-b", only: true, id: side, on: "refs/heads/feature/a-b"},
		{name: "branch like a short commit", ref: "deadbee", id: second, on: "refs/heads/deadbee"},
		{name: "branch and tag of one commit", ref: "same", id: first, on: "refs/heads/same"},
		{name: "branch and tag, only branches", ref: "both", only: true, id: first, on: "refs/heads/both"},
		{name: "branch on another", ref: "deadbee", branch: "refs/heads/main", id: second, on: "refs/heads/main"},
		{name: "branch and tag", ref: "both", reason: git.ReasonAmbiguous},
		{name: "tag, only branches", ref: "v1", only: true, reason: git.ReasonRef},
		{name: "full tag, only branches", ref: "refs/tags/v1", only: true, reason: git.ReasonRef},
		{name: "unmerged branch", ref: "feature/a-b", branch: "main", reason: git.ReasonNotOnBranch},
		{name: "unmerged branch, of the default branch", ref: "feature/a-b", ofDefault: true, reason: git.ReasonNotOnBranch},
		{name: "merged branch, of the default branch", ref: "same", ofDefault: true, id: first, on: "refs/heads/main"},
		{name: "tag of the default branch", ref: "v1", ofDefault: true, id: first, on: "refs/heads/main"},
		{name: "unmerged commit", ref: side, branch: "main", reason: git.ReasonNotOnBranch},
		{name: "unmerged short commit", ref: side[:8], branch: "main", reason: git.ReasonRef},
		{name: "commit, not the branch called so", ref: side, reason: git.ReasonNotOnBranch},
		{name: "too short", ref: first[:6], reason: git.ReasonRef},
		{name: "pull request", ref: "refs/pull/1/head", reason: "slug.invalid"},
		{name: "pull request, short", ref: "pull/1/head", reason: "slug.invalid"},
		{name: "remote's other references", ref: "refs/remotes/a", reason: "slug.invalid"},
		{name: "tag of a tree", ref: "bare-tree", reason: git.ReasonRef},
		{name: "tag that lies", ref: "tree", reason: git.ReasonProtocol},
		{name: "branch gone", branch: "gone", reason: git.ReasonBranchGone},
		{name: "tag as branch", branch: "v1", reason: git.ReasonBranchGone},
		{name: "full tag as branch", branch: "refs/tags/v1", reason: git.ReasonBranchGone},
		{name: "option as ref", ref: "--upload-pack=touch${IFS}x", reason: "slug.invalid"},
		{name: "option as branch", branch: "-x", reason: "slug.invalid"},
		{name: "range", ref: "main..v1", reason: "slug.invalid"},
		{name: "refspec", ref: "main:refs/heads/x", reason: "slug.invalid"},
		{name: "parent", ref: "main^", reason: "slug.invalid"},
	} {
		got, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(tt.ref), Branch: tt.branch, OnlyBranches: tt.only, OfDefault: tt.ofDefault})
		if status.ReasonOf(err) != tt.reason || got.Commit.ID != tt.id || got.Branch != tt.on {
			t.Errorf("%s: %s on %q, %v; want %s on %q, reason %q", tt.name, got.Commit.ID, got.Branch, err, tt.id, tt.on, tt.reason)
		}
		if err == nil && (got.Repository != s.URL()+"/acme/app" || got.Ref != tt.ref || got.Head == "" || len(got.Raw) == 0) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// TestG8RefNotFound: the error names the ref and the repository.
func TestG8RefNotFound(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"f": "1"})
	f := newFetcher(t, s)
	for _, ref := range []string{"nope", "abc1234", "refs/heads/nope", strings.Repeat("a", 39)} {
		_, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(ref)})
		wantReason(t, err, status.InvalidArgument, git.ReasonRef, ref, "acme/app")
	}
	_, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(strings.Repeat("a", 40))})
	wantReason(t, err, status.InvalidArgument, git.ReasonNotOnBranch, strings.Repeat("a", 40), "acme/app", "main")
	_, err = f.Resolve(t.Context(), git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "acme/none"}})
	wantReason(t, err, status.InvalidArgument, git.ReasonRepository, "acme/none")
	r.Default("gone")
	_, err = f.Resolve(t.Context(), git.Want{Slug: r.Slug("")})
	wantReason(t, err, status.InvalidArgument, git.ReasonRef, "acme/app")
	empty := s.Repo("acme/empty")
	_, err = f.Resolve(t.Context(), git.Want{Slug: empty.Slug("")})
	wantReason(t, err, status.InvalidArgument, git.ReasonRef, "acme/empty")
	_, err = f.Resolve(t.Context(), git.Want{Slug: empty.Slug(""), Branch: "main"})
	wantReason(t, err, status.InvalidArgument, git.ReasonBranchGone, "main", "acme/empty")
}

// TestG12ForkOnlyCommit: a commit that only a fork has is known to the host
// under the repository's own name, and is refused.
func TestG12ForkOnlyCommit(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	merged := r.Commit("main", map[string]string{"f": "1"})
	fork := r.Fork("mallory/app")
	impostor := fork.Commit("main", map[string]string{"f": "evil"})
	resp, err := http.Get(s.Bases().GitHubAPI + "/repos/acme/app/tarball/" + impostor)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the host does not do as GitHub does: %v", err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	f := newFetcher(t, s)
	for _, branch := range []string{"", "main"} {
		_, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(impostor), Branch: branch})
		wantReason(t, err, status.InvalidArgument, git.ReasonNotOnBranch, impostor, "acme/app")
		_, err = f.Resolve(t.Context(), git.Want{Slug: r.Slug(impostor[:12]), Branch: branch})
		wantReason(t, err, status.InvalidArgument, git.ReasonRef, impostor[:12])
	}
	if got := resolve(t, f, git.Want{Slug: fork.Slug(impostor)}); got.Commit.ID != impostor {
		t.Errorf("the fork's own: %+v", got)
	}
	for _, tt := range []struct {
		id, from string
		want     bool
	}{{merged, merged, true}, {merged, impostor, true}, {impostor, merged, false}} {
		got, err := f.Reachable(t.Context(), git.Want{Slug: r.Slug("")}, tt.id, tt.from)
		if err != nil || got != tt.want {
			t.Errorf("%s from %s: %t, %v", tt.id, tt.from, got, err)
		}
	}
	if _, err := f.Reachable(t.Context(), git.Want{Slug: r.Slug("")}, "main", merged); status.ReasonOf(err) != git.ReasonRef {
		t.Errorf("a name for an id: %v", err)
	}
	_, err = f.Reachable(t.Context(), git.Want{Slug: r.Slug("")}, merged, strings.Repeat("b", 40))
	wantReason(t, err, status.InvalidArgument, git.ReasonRef)
}

// TestMovingBranch: what was resolved stays, whatever the branch does after it
// or in the middle.
func TestMovingBranch(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	first := r.Commit("main", map[string]string{"f": "1"})
	f := newFetcher(t, s)
	w := git.Want{Slug: r.Slug("main"), Branch: "main"}
	got := resolve(t, f, w)
	r.Commit("main", map[string]string{"f": "2"})
	tree := newTree(t)
	if _, err := f.Fetch(t.Context(), w, got, tree, nil); err != nil || contents(t, tree.FS())["f"] != "1" || got.Commit.ID != first {
		t.Errorf("after it: %v, %v", contents(t, tree.FS()), err)
	}
	// Between the list of references and the fetch.
	var moved string
	s.Before(func(kind string, _ http.ResponseWriter, _ *http.Request) bool {
		if kind == gittest.Pack && moved == "" {
			moved = r.Commit("main", map[string]string{"f": "3"})
		}
		return false
	})
	if got := resolve(t, f, w); got.Commit.ID != got.Head || moved == "" {
		t.Errorf("in the middle: %s, head %s, moved to %s", got.Commit.ID, got.Head, moved)
	}
	// The head that was asked for is not the head any more.
	w.Slug.Ref, moved = r.Head("main"), ""
	if got := resolve(t, f, w); got.Commit.ID != w.Slug.Ref {
		t.Errorf("by its id: %+v", got)
	}
	seen := s.Count(gittest.Refs)
	s.Before(func(kind string, _ http.ResponseWriter, _ *http.Request) bool {
		// The list of references is two requests, and then git fetch asks again.
		if s.Count(gittest.Refs) == seen+3 && r.Head("main") != "" {
			r.Branch("main", "")
		}
		return false
	})
	w.Slug.Ref = ""
	_, err := f.Resolve(t.Context(), w)
	wantReason(t, err, status.InvalidArgument, git.ReasonBranchGone, "main")
}
