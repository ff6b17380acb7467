package deploy_test

import (
	"errors"
	"fmt"
	"testing"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/deploy"
)

// TestDomains: a domain leads to an environment or to one revision, is its first
// holder's, and lasts as long as the app, over restarts.
func TestDomains(t *testing.T) {
	w := newWorld(t)
	o, stop := w.run()
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	d, _ = ended(t, o, d.ID)
	other, err := o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "other"})
	must(t, err)
	add := func(app string, d deploy.Domain) error {
		_, err := o.AddDomain(t.Context(), "team", app, d)
		return err
	}
	got, err := o.AddDomain(t.Context(), "team", d.AppID, deploy.Domain{Domain: "Shop.example.org."})
	if err != nil || got.Domain != "shop.example.org" || got.Environment != "production" || got.Manifest != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, add(d.AppID, deploy.Domain{Domain: "dev.example.org", Environment: "development"}))
	must(t, add(d.AppID, deploy.Domain{Domain: "pinned.example.org", DeploymentID: d.ID}))
	for _, c := range []struct {
		app    string
		d      deploy.Domain
		code   status.Code
		reason string
	}{
		{d.AppID, deploy.Domain{Domain: "shop.example.org", Environment: "development"}, status.Conflict, "domain.taken"},
		{other.ID, deploy.Domain{Domain: "shop.example.org"}, status.Conflict, "domain.taken"},
		{other.ID, deploy.Domain{Domain: "SHOP.example.org."}, status.Conflict, "domain.taken"},
		{other.ID, deploy.Domain{Domain: "x.example.net"}, status.PermissionDenied, "domain.refused"},
		{other.ID, deploy.Domain{Domain: "x"}, status.InvalidArgument, "domain.invalid"},
		{other.ID, deploy.Domain{Domain: "x.example.org", Environment: "A"}, status.InvalidArgument, "domain.invalid"},
		{other.ID, deploy.Domain{Domain: "x.example.org", DeploymentID: d.ID}, status.InvalidArgument, "domain.invalid"},
		{d.AppID, deploy.Domain{Domain: "x.example.org", DeploymentID: d.ID, Environment: "development"}, status.InvalidArgument, "domain.invalid"},
		{d.AppID, deploy.Domain{Domain: "x.example.org", DeploymentID: "none"}, status.InvalidArgument, "domain.invalid"},
		{"none", deploy.Domain{Domain: "x.example.org"}, status.NotFound, "app.unknown"},
	} {
		refused(t, add(c.app, c.d), c.code, c.reason)
	}
	_, err = o.AddDomain(t.Context(), "stranger", d.AppID, deploy.Domain{Domain: "x.example.org"})
	refused(t, err, status.NotFound, "app.unknown")

	digest, err := manifest.ParseDigest(d.ManifestDigest)
	must(t, err)
	leads := func() {
		t.Helper()
		w.shop.mu.Lock()
		defer w.shop.mu.Unlock()
		for host, want := range map[string]provider.Alias{
			"shop.example.org":   {Pod: provider.PodIDOf("ns:team", "shop"), Name: "app shop"},
			"dev.example.org":    {Pod: provider.PodIDOf("ns:team", "shop--development"), Name: "app shop"},
			"pinned.example.org": {Pod: provider.PodIDOf("ns:team", "shop"), Manifest: digest, Name: "this revision of shop"},
		} {
			if got := w.shop.aliases[host]; got != want {
				t.Errorf("%s leads to %+v, want %+v", host, got, want)
			}
		}
		if len(w.shop.claims) != 3 {
			t.Errorf("got the claims %v", w.shop.claims)
		}
	}
	leads()
	// An update of the app keeps them; a store that fails takes nothing.
	_, err = o.UpdateApp(t.Context(), "team", d.AppID, 0, func(a *deploy.App) error { a.Description, a.Domains = "x", nil; return nil })
	must(t, err)
	w.apps.Fail(errors.New("disk full"))
	if err := add(other.ID, deploy.Domain{Domain: "y.example.org"}); err == nil {
		t.Error("it is kept")
	}
	if err := o.RemoveDomain(t.Context(), "team", d.AppID, "shop.example.org"); err == nil {
		t.Error("it is removed")
	}
	w.apps.Fail(nil)
	leads()

	stop()
	w.shop.aliases, w.shop.claims = nil, nil
	o, _ = w.run()
	leads()
	refused(t, o.RemoveDomain(t.Context(), "team", d.AppID, "none.example.org"), status.NotFound, "domain.unknown")
	refused(t, o.RemoveDomain(t.Context(), "stranger", d.AppID, "shop.example.org"), status.NotFound, "app.unknown")
	must(t, o.RemoveDomain(t.Context(), "team", d.AppID, "Shop.example.org"))
	if _, there := w.shop.aliases["shop.example.org"]; there || w.shop.claims["shop.example.org"] != "" {
		t.Error("a domain that was removed is there")
	}
	must(t, add(other.ID, deploy.Domain{Domain: "shop.example.org"}))
	for n := range 15 {
		must(t, add(other.ID, deploy.Domain{Domain: fmt.Sprintf("n%d.example.org", n)}))
	}
	refused(t, add(other.ID, deploy.Domain{Domain: "more.example.org"}), status.ResourceExhausted, "domain.limit")
	must(t, o.DeleteApp(t.Context(), "team", other.ID))
	must(t, o.DeleteApp(t.Context(), "team", d.AppID))
	if len(w.shop.claims) != 0 || len(w.shop.aliases) != 0 {
		t.Errorf("left: %v %v", w.shop.claims, w.shop.aliases)
	}
}

// TestLabels: they are kept with a deployment and what is made of it, and lists
// are narrowed by them.
func TestLabels(t *testing.T) {
	w := newWorld(t)
	o, stop := w.run()
	r := w.site()
	r.Labels = map[string]string{"team": "blue", "tier": "web"}
	d, err := o.Submit(t.Context(), r)
	must(t, err)
	d, _ = ended(t, o, d.ID)
	next, err := o.Promote(t.Context(), "team", d.ID, "development", "x")
	must(t, err)
	ended(t, o, next.ID)
	plain, err := o.Submit(t.Context(), w.site())
	must(t, err)
	ended(t, o, plain.ID)
	stop()
	o, _ = w.run()
	for _, id := range []string{d.ID, next.ID} {
		if got, err := o.Deployment(t.Context(), "team", id); err != nil || len(got.Labels) != 2 || got.Labels["team"] != "blue" {
			t.Errorf("got %v, %v", got.Labels, err)
		}
	}
	for want, labels := range []map[string]string{{"team": "red"}, {"other": ""}, {"team": "blue"}, nil} {
		_, total, err := o.ListDeployments(t.Context(), "team", d.AppID, deploy.Page{Labels: labels})
		if n := []int{0, 0, 2, 3}[want]; err != nil || total != n {
			t.Errorf("%v: got %d, %v", labels, total, err)
		}
	}
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "web", Labels: map[string]string{"team": "blue"}})
	must(t, err)
	if _, total, err := o.ListApps(t.Context(), "team", deploy.Page{Labels: map[string]string{"team": "blue"}}); err != nil || total != 1 {
		t.Errorf("got %d apps, %v", total, err)
	}
}
