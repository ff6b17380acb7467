package deploy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

func group(results ...deploy.Result) deploy.Deployment {
	return deploy.Deployment{Namespace: "team", CreatedBy: "sync", Source: deploy.Source{Type: "git", Commit: "c0ffee"}, Results: results}
}

// TestGroup is one change of several apps: a part waits for the others at the gate,
// names its group, and has the group's source.
func TestGroup(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	g, err := o.Group(t.Context(), group(deploy.Result{Name: "shop/production", Operation: "create", Status: "pending"}), func(ctx context.Context, g *deploy.Group) error {
		asked := false
		d, err := o.Submit(ctx, w.site(func(r *deploy.Request) {
			r.Synced = &deploy.Synced{Group: g.ID(), Source: deploy.Source{Type: "git", Commit: "c0ffee"}, Gate: func(context.Context) error {
				_, err := w.core.Status(ctx, "ns:team", "shop")
				asked = status.CodeOf(err) == status.NotFound
				return nil
			}}
		}))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		if d.Status != deploy.Succeeded || d.Group != g.ID() || d.Source.Commit != "c0ffee" || d.Source.Type != "git" || !asked {
			t.Errorf("the part is %+v, and its gate was asked first: %v", d, asked)
		}
		g.Say("shop: it is up")
		before, err := o.Deployment(ctx, "team", g.ID())
		must(t, err)
		defer func() {
			if before.Results[0].Status != "pending" {
				t.Error("what was told changes afterwards")
			}
		}()
		return g.Update(ctx, func(all *deploy.Deployment) { all.Results[0].Status = "success" })
	})
	must(t, err)
	got, events := ended(t, o, g.ID)
	if got.Status != deploy.Succeeded || got.App != "" || len(got.Results) != 1 || got.Results[0].Status != "success" {
		t.Errorf("got %+v", got)
	}
	said := false
	for _, e := range events {
		said = said || e.Kind == "log" && e.Text == "shop: it is up"
	}
	if !said {
		t.Errorf("nobody heard what was said: %+v", events)
	}
}

// TestGroupFails: a gate that refuses ends a part before its order, a group that
// fails says why, and one that was interrupted says that.
func TestGroupFails(t *testing.T) {
	w := newWorld(t)
	o, stop := w.run()
	g, err := o.Group(t.Context(), group(), func(ctx context.Context, g *deploy.Group) error {
		d, err := o.Submit(ctx, w.site(func(r *deploy.Request) {
			r.Synced = &deploy.Synced{Group: g.ID(), Gate: func(context.Context) error { return status.New(status.Conflict, "sync.aborted", "no") }}
		}))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		if d.Status != deploy.Failed || d.Failure.Code != "sync.aborted" || d.Revision != 0 {
			t.Errorf("got %+v", d)
		}
		return status.New(status.AppFailed, "app.exited", "shop: it ended")
	})
	must(t, err)
	if got, _ := ended(t, o, g.ID); got.Status != deploy.Failed || got.Failure.Code != "app.exited" {
		t.Errorf("got %+v", got)
	}
	if _, err := w.core.Status(t.Context(), "ns:team", "shop"); status.CodeOf(err) != status.NotFound {
		t.Errorf("a refused part has a pod: %v", err)
	}
	w.nothingLeft()

	begun := make(chan struct{})
	g, err = o.Group(t.Context(), group(), func(ctx context.Context, g *deploy.Group) error {
		must(t, g.Update(ctx, func(d *deploy.Deployment) {
			d.Results = []deploy.Result{{Name: "shop/production", Operation: "create", Status: "success"}, {Name: "site/production", Operation: "create", Status: "pending"}}
		}))
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	must(t, err)
	<-begun
	stop()
	o, _ = w.run()
	got, _ := ended(t, o, g.ID)
	if got.Status != deploy.Failed || got.Failure.Code != "deploy.interrupted" {
		t.Errorf("got %+v", got)
	}
	if r := got.Results; len(r) != 2 || r[0].Status != "success" || r[1].Status != "skipped" || r[1].Message == "" {
		t.Errorf("the results are %+v", r)
	}
}

// TestGroupIsCancelled ends what a group does.
func TestGroupIsCancelled(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	g, err := o.Group(t.Context(), group(), func(ctx context.Context, _ *deploy.Group) error {
		<-ctx.Done()
		return ctx.Err()
	})
	must(t, err)
	got, err := o.Cancel(t.Context(), "team", g.ID)
	must(t, err)
	if got.Status != deploy.Cancelled {
		t.Errorf("got %+v", got)
	}
}

// TestRefusedNamespace: who takes what is in a repository takes no other deploy.
func TestRefusedNamespace(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	d, _ = ended(t, o, d.ID)
	no := status.New(status.PermissionDenied, "sync.git_only", "no")
	w.refuse = func(namespace string) error {
		if namespace != "team" {
			return errors.New("another namespace")
		}
		return no
	}
	_, err = o.Submit(t.Context(), w.site())
	refused(t, err, status.PermissionDenied, "sync.git_only")
	_, err = o.Rollback(t.Context(), "team", d.ID, "ci")
	refused(t, err, status.PermissionDenied, "sync.git_only")
	_, err = o.Promote(t.Context(), "team", d.ID, "development", "ci")
	refused(t, err, status.PermissionDenied, "sync.git_only")
	again, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) {
		r.Synced = &deploy.Synced{Gate: func(context.Context) error { return nil }}
	}))
	must(t, err)
	if got, _ := ended(t, o, again.ID); got.Status != deploy.Succeeded {
		t.Errorf("got %+v", got)
	}
}

// TestOnlyTheRepositorysVariables: whoever may deploy may set an app's variables. Where only
// the repository counts they do not, and the deployment says so; elsewhere they do.
func TestOnlyTheRepositorysVariables(t *testing.T) {
	for only, want := range map[bool]string{true: "B=deployment", false: "B=deployment NODE_OPTIONS=--import=data:x"} {
		w := newWorld(t)
		o, _ := w.run()
		w.refuse = func(string) error {
			if only {
				return status.New(status.PermissionDenied, "sync.git_only", "no")
			}
			return nil
		}
		_, err := o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "shop", Env: map[string]string{"NODE_OPTIONS": "--import=data:x", "B": "app"}})
		must(t, err)
		d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) {
			r.Synced = &deploy.Synced{Gate: func(context.Context) error { return nil }}
		}))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		var got []string
		for _, e := range w.core.order("team", "shop").Containers[0].Env {
			got = append(got, e.Name+"="+e.Value)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("only the repository %v: got %s, want %s", only, text, want)
		}
		if told := strings.Contains(strings.Join(d.Warnings, "\n"), "B, NODE_OPTIONS"); told != only || strings.Contains(strings.Join(d.Warnings, "\n"), "data:x") {
			t.Errorf("only the repository %v: warnings %q", only, d.Warnings)
		}
	}
}

// TestDeleteEnvironment removes one pod, and the app with the last.
func TestDeleteEnvironment(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	var app string
	for _, environment := range []string{"production", "development"} {
		d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.Environment = environment }))
		must(t, err)
		d, _ = ended(t, o, d.ID)
		app = d.AppID
	}
	must(t, o.DeleteEnvironment(t.Context(), "team", app, "development"))
	if _, err := w.core.Status(t.Context(), "ns:team", "shop--development"); status.CodeOf(err) != status.NotFound {
		t.Errorf("its pod is still there: %v", err)
	}
	if _, err := w.core.Status(t.Context(), "ns:team", "shop"); err != nil {
		t.Error(err)
	}
	must(t, o.DeleteEnvironment(t.Context(), "team", app, "production"))
	if _, err := o.App(t.Context(), "team", app); status.CodeOf(err) != status.NotFound {
		t.Errorf("the app is still there: %v", err)
	}
}
