package pull_test

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

const (
	shop = "name: shop\nruntime: python\nport: 8080\n"
	blog = "name: blog\nruntime: static\n"
)

// two is a repository of two apps below apps/.
func two(more ...string) map[string]string {
	out := map[string]string{
		"apps/shop/app.yaml": shop, "apps/shop/main.py": "print(1)\n", "apps/blog.yaml": blog + "directory: site\n", "apps/site/index.html": "<h1>1</h1>",
		"README.md": "two apps\n", "apps/.github/workflow.yaml": "on: [push]\n", "other/ignored.yaml": "name: [",
	}
	for i := 0; i+1 < len(more); i += 2 {
		if out[more[i]] = more[i+1]; more[i+1] == "" {
			delete(out, more[i])
		}
	}
	return out
}

func below(path string) func(*pull.Config) { return func(c *pull.Config) { c.Path = path } }

// TestG7MergedCommit applies all manifests below the path as one change: what is new,
// what changed, what did not, what is gone.
func TestG7MergedCommit(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	first := r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps/"))

	d, err := n.sync("main")
	must(t, err)
	if d.Status != deploy.Succeeded || d.Source.Type != "git" || d.Source.Commit != first || d.Source.Ref != "main" || d.Source.Tree == "" ||
		d.Source.AuthorEmail == "" || !strings.HasSuffix(d.Source.Repository, "/acme/app") || d.CreatedBy != "token:ci" {
		t.Errorf("got %+v", d)
	}
	want := []string{"blog/production create success", "shop/production create success"}
	if diff := cmp.Diff(want, results(d)); diff != "" {
		t.Error(diff)
	}
	if got := w.apps["shop/production"].request; got.Git.Path != "apps/shop" || got.Git.Want.Slug.Ref != first || got.Git.Want.Branch != "main" || got.Runtime != "python" {
		t.Errorf("the shop was built of %+v", got.Git)
	}
	if got := w.apps["blog/production"].request; got.Git.Path != "apps/site" || got.Manifest.Name != "blog" {
		t.Errorf("the blog was built of %+v", got.Git)
	}

	// The same again, and a change that is none of the apps': nothing is touched.
	second := r.Commit("main", two("README.md", "other words\n"))
	for _, ref := range []string{first, "main", second[:10]} {
		d, err = n.sync(ref)
		must(t, err)
		want = []string{"blog/production noop success", "shop/production noop success"}
		if diff := cmp.Diff(want, results(d)); diff != "" || len(w.done()) > 0 {
			t.Errorf("%s: %v\n%s", ref, w.done(), diff)
		}
	}

	r.Commit("main", two("apps/shop/main.py", "print(2)\n", "apps/blog.yaml", "", "apps/new.yaml", "name: new\nruntime: image\nimage: registry.example/new:1\n"))
	d, err = n.sync("")
	must(t, err)
	want = []string{"new/production create success", "shop/production update success", "blog/production delete success"}
	if diff := cmp.Diff(want, results(d)); diff != "" {
		t.Error(diff)
	}
	if got := w.apps["new/production"].request; got.Image != "registry.example/new:1" || got.Git != nil {
		t.Errorf("got %+v", got)
	}
	status, err := n.Get(t.Context(), "team")
	must(t, err)
	if status.Commit != d.Source.Commit || status.At.IsZero() {
		t.Errorf("got %+v", status)
	}
}

// TestOneBadFile: one manifest that cannot be read, and nothing is applied; every
// fault of every file is told.
func TestOneBadFile(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", two("apps/bad.yaml", "name: Bad\nruntime: what\n", "apps/worse.yaml", "name: [\n", "apps/twin.yaml", shop, "apps/out.yaml", blog+"directory: ../other\n",
		"apps/lost.yaml", "name: lost\nruntime: static\ndirectory: nowhere\n", "apps/theirs.yaml", "name: x\nnamespace: other\nruntime: static\n"))
	n := w.run()
	n.put("acme/app", below("apps"))
	_, err := n.sync("")
	refused(t, err, status.InvalidArgument, "sync.manifests")
	var e *status.Error
	errors.As(err, &e)
	var files []string
	for _, f := range e.Faults {
		files = append(files, f.Field)
	}
	want := []string{
		"apps/bad.yaml /name", "apps/bad.yaml /runtime", "apps/lost.yaml", "apps/out.yaml /directory", "apps/theirs.yaml /namespace", "apps/twin.yaml", "apps/worse.yaml syntax",
	}
	for i := range files {
		files[i] = "apps/" + strings.TrimPrefix(files[i], "apps/")
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if len(w.apps) != 0 {
		t.Errorf("apps were made: %v", w.done())
	}
}

// TestAllOrNothing: an app that cannot be built ends the change before any other is
// touched; one that does not come up removes nothing.
func TestAllOrNothing(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"))
	_, err := n.sync("")
	must(t, err)
	r.Commit("main", two("apps/shop/main.py", "print(\n", "apps/site/index.html", "<h1>2</h1>"))
	w.unbuildable["shop"] = true
	d, err := n.sync("")
	must(t, err)
	if diff := cmp.Diff([]string{"image blog/production"}, w.done()); diff != "" || d.Status != deploy.Failed || d.Failure == nil {
		t.Errorf("got %+v\n%s", d, diff)
	}
	if diff := cmp.Diff([]string{"blog/production update failed", "shop/production update failed"}, results(d)); diff != "" {
		t.Error(diff)
	}
	// The answer is the cause, and not what it means for the others.
	if d.Failure == nil || d.Failure.Code != "build.failed" || !strings.Contains(d.Failure.Detail, "shop/production") {
		t.Errorf("the failure is %+v", d.Failure)
	}
	delete(w.unbuildable, "shop")
	w.unhealthy["shop"] = true
	before := maps.Clone(w.apps)
	r.Commit("main", two("apps/shop/main.py", "print(3)\n", "apps/blog.yaml", ""))
	d, err = n.sync("")
	must(t, err)
	if d.Status != deploy.Failed || d.Failure.Code != "app.exited" || w.apps["blog/production"] != before["blog/production"] {
		t.Errorf("got %+v, %v", d, w.done())
	}
	// What failed is done again, what did not is not.
	delete(w.unhealthy, "shop")
	d, err = n.sync("")
	must(t, err)
	if diff := cmp.Diff([]string{"shop/production update success", "blog/production delete success"}, results(d)); diff != "" {
		t.Error(diff)
	}
}

// TestG8RefNotFound and the other refusals change nothing.
func TestG8RefNotFound(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	main := r.Commit("main", two())
	r.Tag("v1", main)
	r.Commit("feature", two("apps/shop/main.py", "print(9)\n"))
	r.Commit("empty", map[string]string{"apps/readme.txt": "no manifest\n"})
	unmerged := r.Head("feature")
	impostor := r.Fork("mallory/app").Commit("main", two("apps/shop/main.py", "evil()\n"))
	n := w.run()
	_, err := n.sync("main")
	// G9: a namespace without a repository.
	refused(t, err, status.InvalidArgument, "sync.no_repository")
	if !strings.Contains(err.Error(), "team") {
		t.Errorf("the namespace is not named: %v", err)
	}
	n.put("acme/app", below("apps"))
	for name, c := range map[string]struct{ ref, reason string }{
		"unknown branch": {"nothing", git.ReasonRef},
		"unknown commit": {strings.Repeat("ab", 20), git.ReasonNotOnBranch},
		"tag":            {"v1", git.ReasonRef},
		"pull request":   {"refs/pull/1/head", "slug.invalid"},
		"option":         {"--upload-pack=touch /tmp/x", "slug.invalid"},
		// G12: a commit that was not merged, and one that only a fork has.
		"unmerged": {unmerged, git.ReasonNotOnBranch},
		"fork":     {impostor, git.ReasonNotOnBranch},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.sync(c.ref)
			refused(t, err, status.InvalidArgument, c.reason)
		})
	}
	n.put("acme/app", below("nowhere"))
	_, err = n.sync("")
	refused(t, err, status.InvalidArgument, git.ReasonPath)
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.Branch = "empty" })
	_, err = n.sync("")
	refused(t, err, status.InvalidArgument, "sync.no_manifests")
	w.server.Fail(503, gittest.Refs, gittest.Pack, gittest.Tarball, gittest.Codeload)
	_, err = n.sync("")
	refused(t, err, status.Unavailable, git.ReasonUnavailable)
	if len(w.apps) != 0 {
		t.Errorf("apps were made: %v", w.done())
	}
}

// TestG2RefKinds: another branch of the repository is not the configured one.
func TestG2RefKinds(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	old := r.Commit("release/1", two())
	r.Commit("release/1", two("apps/shop/main.py", "print(2)\n"))
	r.Branch("merged", old)
	r.Commit("other", two("apps/shop/main.py", "print(3)\n"))
	n := w.run()
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.Branch = "release/1" })
	for _, ref := range []string{"release/1", old, old[:12], "merged", ""} {
		if d, err := n.sync(ref); err != nil || d.Status != deploy.Succeeded {
			t.Errorf("%q: %v, %+v", ref, err, d.Failure)
		}
	}
	_, err := n.sync("other")
	refused(t, err, status.InvalidArgument, git.ReasonNotOnBranch)
}

// TestRollback goes back where it may.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	old := r.Commit("main", two())
	newer := r.Commit("main", two("apps/shop/main.py", "print(2)\n"))
	n := w.run()
	n.put("acme/app", below("apps"))
	_, err := n.sync("")
	must(t, err)
	if d, err := n.sync(old); err != nil || d.Source.Commit != old {
		t.Errorf("got %v, %v", d, err)
	}
	_, err = n.sync(newer)
	must(t, err)
	n.put("acme/app", below("apps"), func(c *pull.Config) { c.AllowRollback = false })
	_, err = n.sync(old)
	refused(t, err, status.Conflict, "sync.rollback")
	d, err := n.sync(newer)
	must(t, err)
	if d.Status != deploy.Succeeded {
		t.Errorf("got %+v", d)
	}
	latest := r.Commit("main", two("apps/shop/main.py", "print(3)\n"))
	if d, err := n.sync(""); err != nil || d.Source.Commit != latest {
		t.Errorf("got %v, %v", d, err)
	}
}

// TestMovingBranch: every step is of the commit that was found first.
func TestMovingBranch(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	first := r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"))
	moved := false
	w.server.Before(func(kind string, _ http.ResponseWriter, _ *http.Request) bool {
		if kind == gittest.Tarball && !moved {
			moved = true
			r.Commit("main", two("apps/shop/main.py", "print('moved')\n"))
		}
		return false
	})
	d, err := n.sync("main")
	must(t, err)
	if !moved || d.Source.Commit != first || w.apps["shop/production"].request.Git.Want.Slug.Ref != first {
		t.Errorf("moved %v: got %+v", moved, d.Source)
	}
}

// TestG11GitOnly refuses everything else, and images that a tag names.
func TestG11GitOnly(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", map[string]string{"a.yaml": "name: a\nruntime: image\nimage: registry.example/a:1\n"})
	n := w.run()
	must(t, n.Refuse("team"))
	n.put("acme/app", func(c *pull.Config) { c.GitOnly = true })
	refused(t, n.Refuse("team"), status.PermissionDenied, "sync.git_only")
	must(t, n.Refuse("other"))
	_, err := n.sync("")
	refused(t, err, status.InvalidArgument, "sync.manifests")
	r.Commit("main", map[string]string{"a.yaml": "name: a\nruntime: image\nimage: registry.example/a@sha256:" + strings.Repeat("ab", 32) + "\n"})
	if d, err := n.sync(""); err != nil || d.Status != deploy.Succeeded {
		t.Errorf("got %+v, %v", d, err)
	}
}

// TestOverRestart: what was applied is known to the next process.
func TestOverRestart(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"))
	_, err := n.sync("")
	must(t, err)
	n.stop()
	n = w.run()
	d, err := n.sync("")
	must(t, err)
	if diff := cmp.Diff([]string{"blog/production noop success", "shop/production noop success"}, results(d)); diff != "" {
		t.Error(diff)
	}
	// An app that somebody else deployed since is put right again.
	w.mu.Lock()
	w.apps["shop/production"].history = append([]deploy.Deployment{{ID: "by-hand", Environment: "production", Status: deploy.Succeeded}}, w.apps["shop/production"].history...)
	w.mu.Unlock()
	d, err = n.sync("")
	must(t, err)
	if diff := cmp.Diff([]string{"blog/production noop success", "shop/production update success"}, results(d)); diff != "" {
		t.Error(diff)
	}
}

// TestHiddenDirectory builds the directory that was looked at, also where its name
// begins with a dot.
func TestHiddenDirectory(t *testing.T) {
	w := newWorld(t)
	w.server.Repo("acme/app").Commit("main", map[string]string{
		"blog.yaml": blog + "directory: .site\n", ".site/index.html": "<h1>looked at</h1>", "site/index.html": "<h1>another</h1>",
		"root.yaml": "name: root\nruntime: static\n", "index.html": "<h1>root</h1>",
	})
	n := w.run()
	n.put("acme/app")
	d, err := n.sync("")
	must(t, err)
	if d.Status != deploy.Succeeded {
		t.Fatalf("got %+v", d)
	}
	for key, want := range map[string]string{"blog/production": ".site", "root/production": ""} {
		if got := w.apps[key].request.Git.Path; got != want {
			t.Errorf("%s is built of %q, want %q", key, got, want)
		}
	}
}

// TestRemovedMeanwhile: a configuration that ends while its apps are deployed has
// ended, also after a restart.
func TestRemovedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.server.Repo("acme/app").Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps"))
	w.placing = func() { must(t, n.Remove(t.Context(), "team")) }
	d, err := n.sync("")
	must(t, err)
	if d.Status != deploy.Failed {
		t.Errorf("got %+v", d)
	}
	for range 2 {
		_, err = n.Get(t.Context(), "team")
		refused(t, err, status.NotFound, "sync.unknown")
		_, err = n.Get(t.Context(), "")
		refused(t, err, status.NotFound, "sync.unknown")
		n.stop()
		n = w.run()
	}
}
