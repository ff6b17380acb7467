package deploy_test

import (
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// TestRevisionOfAnotherPod: a pod that is removed and made again counts its revisions
// from 1. What an earlier pod ran is not what the new one has under that number.
func TestRevisionOfAnotherPod(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	up := func(environment, commit string) deploy.Deployment {
		d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) {
			r.Environment, r.ClaimedCommit = environment, commit
		}))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		if d.Status != deploy.Succeeded {
			t.Fatalf("got %+v", d)
		}
		return d
	}
	up("production", "other") // so that the app stays
	old := up("staging", "old")
	must(t, o.DeleteEnvironment(t.Context(), "team", old.AppID, "staging"))
	now := up("staging", "new")
	if old.Revision != now.Revision {
		t.Fatalf("revisions %d and %d, want one number for two things", old.Revision, now.Revision)
	}

	_, err := o.Rollback(t.Context(), "team", old.ID, "ci")
	refused(t, err, status.NotFound, "pod.no_revision")
	_, err = o.Promote(t.Context(), "team", old.ID, "preview", "ci")
	refused(t, err, status.NotFound, "pod.no_revision")

	next, err := o.Promote(t.Context(), "team", now.ID, "preview", "ci")
	must(t, err)
	if got, _ := ended(t, o, next.ID); got.Status != deploy.Succeeded || got.Source.ClaimedCommit != "new" {
		t.Errorf("got %+v", got)
	}
	next, err = o.Rollback(t.Context(), "team", now.ID, "ci")
	must(t, err)
	if got, _ := ended(t, o, next.ID); got.Status != deploy.Succeeded || got.Source.ClaimedCommit != "new" {
		t.Errorf("got %+v", got)
	}
}

// TestNothingComesWhileAnAppGoes: a deployment that is submitted while its app is being
// removed would have a pod of no app.
func TestNothingComesWhileAnAppGoes(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	d, _ = ended(t, o, d.ID)
	var late deploy.Deployment
	w.core.deleted = func() {
		w.core.deleted = nil
		var err error
		if late, err = o.Submit(t.Context(), w.site()); err == nil {
			_, _ = ended(t, o, late.ID)
			return
		}
		refused(t, err, status.Conflict, "app.busy")
	}
	must(t, o.DeleteApp(t.Context(), "team", d.AppID))
	_, noApp := o.AppByName(t.Context(), "team", "shop")
	_, noPod := w.core.Status(t.Context(), "ns:team", "shop")
	if status.CodeOf(noApp) != status.NotFound || status.CodeOf(noPod) != status.NotFound || w.deps.Len() != 0 {
		t.Errorf("app: %v, pod: %v, deployments: %d", noApp, noPod, w.deps.Len())
	}
	again, err := o.Submit(t.Context(), w.site())
	must(t, err)
	if again, _ = ended(t, o, again.ID); again.Status != deploy.Succeeded {
		t.Errorf("got %+v", again)
	}
}
