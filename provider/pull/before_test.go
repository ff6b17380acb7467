package pull_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

// TestRollbackBehindAHalf: of a sync that failed, the apps that came up run its commit.
// Where roll backs are not allowed, nothing older is taken, also by another process; the
// same commit and later ones are.
func TestRollbackBehindAHalf(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	r.Commit("main", two())
	n := w.run()
	forward := func(c *pull.Config) { c.Path, c.AllowRollback = "apps/", false }
	n.put("acme/app", forward)
	_, err := n.sync("")
	must(t, err)

	between := r.Commit("main", two("apps/shop/main.py", "print('faulty')\n"))
	half := r.Commit("main", two("apps/shop/main.py", "print('corrected')\n", "apps/site/index.html", "<h1>2</h1>"))
	w.unhealthy["blog"] = true
	d, err := n.sync(half)
	must(t, err)
	if diff := cmp.Diff([]string{"blog/production update failed", "shop/production update success"}, results(d)); diff != "" || d.Status != deploy.Failed {
		t.Fatalf("%s %s", d.Status, diff)
	}
	if got, err := n.Get(t.Context(), "team"); err != nil || got.Commit == half {
		t.Errorf("half of a commit is called synced: %+v, %v", got, err)
	}
	n.stop()
	n = w.run()
	_, err = n.sync(between)
	refused(t, err, status.Conflict, "sync.rollback")
	delete(w.unhealthy, "blog")
	d, err = n.sync(half)
	must(t, err)
	if diff := cmp.Diff([]string{"blog/production update success", "shop/production noop success"}, results(d)); diff != "" {
		t.Error(diff)
	}

	// A repository of its own begins anew.
	other := w.server.Repo("acme/other")
	older := other.Commit("main", two())
	other.Commit("main", two("README.md", "later\n"))
	n.put("acme/other", forward)
	_, err = n.sync(older)
	must(t, err)
}

// TestGitOnlyDeploysAnew: what ran before a namespace took its repository alone may have
// had more than that in it, and is deployed again once.
func TestGitOnlyDeploysAnew(t *testing.T) {
	w := newWorld(t)
	w.server.Repo("acme/app").Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps/"))
	_, err := n.sync("")
	must(t, err)
	n.put("acme/app", below("apps/"), func(c *pull.Config) { c.GitOnly = true })
	for _, operation := range []string{"update", "noop"} {
		d, err := n.sync("")
		must(t, err)
		if diff := cmp.Diff([]string{"blog/production " + operation + " success", "shop/production " + operation + " success"}, results(d)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestAnotherRepository: a sync removes what its own repository has no more, and nothing
// that another one brought.
func TestAnotherRepository(t *testing.T) {
	w := newWorld(t)
	w.server.Repo("acme/app").Commit("main", two())
	n := w.run()
	n.put("acme/app", below("apps/"))
	_, err := n.sync("")
	must(t, err)
	w.server.Repo("acme/moved").Commit("main", two("apps/shop/app.yaml", ""))
	n.put("acme/moved", below("apps/"))
	d, err := n.sync("")
	must(t, err)
	if diff := cmp.Diff([]string{"blog/production create success"}, results(d)); diff != "" {
		t.Error(diff)
	}
	if _, ok := w.apps["shop/production"]; !ok || slices.Contains(w.log, "remove shop") {
		t.Errorf("an app of the earlier repository is gone: %q", w.log)
	}
}
