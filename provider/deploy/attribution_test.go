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
