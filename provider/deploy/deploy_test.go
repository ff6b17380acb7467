package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/deploy"
)

func TestDeploy(t *testing.T) {
	w := newWorld(t)
	o, stop := w.run()
	app, err := o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "shop", Env: map[string]string{"A": "app", "B": "app"}})
	must(t, err)
	d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.Warnings = []string{"of the form"} }))
	must(t, err)
	if d.Status != deploy.Pending || d.AppID != app.ID || d.ID == "" || d.CreatedBy != "token:ci" || d.Source.Type != "upload" {
		t.Errorf("got %+v", d)
	}
	d, events := ended(t, o, d.ID)
	want := deploy.Deployment{
		ID: d.ID, Namespace: "team", App: "shop", AppID: app.ID, Environment: "production", Revision: 1, Status: deploy.Succeeded, Stage: "healthy",
		Source: deploy.Source{Type: "upload", Digest: d.Source.Digest}, ImageDigest: imageID, ManifestDigest: d.ManifestDigest, ProcessType: "static",
		Entry: deploy.Entry{Reason: []string{"it is static"}}, Results: []deploy.Result{{Name: "shop", Operation: "create", Status: "success"}},
		URL: "http://shop-12345678.localhost:8081/", PreviewURL: "http://shop-team-" + d.ID[:8] + ".localhost:8081/",
		Proof:    "http://shop-12345678.localhost:8081/.well-known/apocryph/attestation",
		Warnings: []string{"of the form", "mind this"}, PodID: string(provider.PodIDOf("ns:team", "shop")), CreatedBy: "token:ci", Created: d.Created, Updated: d.Updated,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(d.Source.Digest, "sha256:") || !strings.HasPrefix(d.ManifestDigest, "sha256:") {
		t.Errorf("got %q and %q", d.Source.Digest, d.ManifestDigest)
	}
	for n, e := range events {
		if e.Seq != uint64(n)+1 || (e.Kind == "result") != (n == len(events)-1) {
			t.Errorf("event %d is %+v", n, e)
		}
	}
	env := w.core.order("team", "shop").Containers[0].Env
	if diff := cmp.Diff([]manifest.EnvVar{{Name: "A", Value: "app"}, {Name: "B", Value: "deployment"}}, env); diff != "" {
		t.Error(diff)
	}
	preview, subdomain := w.shop.aliases["shop-team-"+d.ID[:8]+".localhost"], w.shop.aliases["shop-team.localhost"]
	if preview.Manifest.String() != d.ManifestDigest || string(preview.Pod) != d.PodID || subdomain.Pod != preview.Pod || subdomain.Manifest != (manifest.Digest{}) {
		t.Errorf("got the aliases %+v", w.shop.aliases)
	}
	w.nothingLeft()

	// All of it is there after a restart, and an event for those who come late.
	stop()
	w.shop.aliases = nil
	o, _ = w.run()
	again, late := ended(t, o, d.ID)
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
	if len(late) != 1 || late[0].Seq < events[len(events)-1].Seq || late[0].Deployment.ID != d.ID || len(w.shop.aliases) != 2 {
		t.Errorf("got %+v, aliases %v", late, w.shop.aliases)
	}
	if a, err := o.AppByName(t.Context(), "team", "shop"); err != nil || a.ID != app.ID {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, ns := range []string{"other", ""} {
		_, err = o.Deployment(t.Context(), ns, d.ID)
		refused(t, err, status.NotFound, "deployment.unknown")
		_, err = o.App(t.Context(), ns, app.ID)
		refused(t, err, status.NotFound, "app.unknown")
	}
}

// TestFailures end in a deployment that says why, and leave nothing behind.
func TestFailures(t *testing.T) {
	app := status.New(status.AppFailed, "app.exited", "container shop exited with code 3")
	app.Log = []string{"no config"}
	for name, c := range map[string]struct {
		spoil   func(w *world)
		request func(*deploy.Request)
		code    string
		log     []string
	}{
		"the app":      {func(w *world) { w.core.fail = app }, nil, "app.exited", []string{"no config"}},
		"the build":    {func(w *world) { w.shop.fail = status.New(status.InvalidArgument, "build.entry", "no entry") }, nil, "build.entry", nil},
		"the registry": {func(w *world) { w.unresolvable = true }, func(r *deploy.Request) { _ = r.Tree.Close(); r.Tree, r.Image = nil, "registry.example/app:1" }, "internal", nil},
		"several files": {nil, func(r *deploy.Request) {
			r.Runtime = "image"
			_, _ = r.Tree.Add(t.Context(), "b", strings.NewReader("b"))
		}, "deploy.invalid", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.spoil != nil {
				c.spoil(w)
			}
			o, _ := w.run()
			r := w.site()
			if c.request != nil {
				c.request(&r)
			}
			d, err := o.Submit(t.Context(), r)
			must(t, err)
			d, _ = ended(t, o, d.ID)
			if d.Status != deploy.Failed || d.Failure == nil || d.Failure.Code != c.code || !slices.Equal(d.Failure.Log, c.log) || d.Results[0].Status != "failed" {
				t.Errorf("got %+v, %+v", d, d.Failure)
			}
			w.nothingLeft()
		})
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	for name, change := range map[string]func(*deploy.Request){
		"nothing":     func(r *deploy.Request) { _ = r.Tree.Close(); r.Tree = nil },
		"two":         func(r *deploy.Request) { r.ArtifactID = "a1" },
		"runtime":     func(r *deploy.Request) { r.Runtime = "cobol" },
		"environment": func(r *deploy.Request) { r.Environment = "A b" },
		"file image":  func(r *deploy.Request) { _ = r.Tree.Close(); r.Tree, r.Image = nil, "oci:/etc" },
		"long":        func(r *deploy.Request) { r.Environment = strings.Repeat("e", 60) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.Submit(t.Context(), w.site(change))
			refused(t, err, status.InvalidArgument, "deploy.invalid")
		})
	}
	_, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.App = "UPPER" }))
	refused(t, err, status.InvalidArgument, "app.invalid")
	for id, want := range map[string]struct {
		class  status.Code
		reason string
	}{"nope": {status.NotFound, "artifact.unknown"}, "empty": {status.Conflict, "artifact.not_uploaded"}} {
		_, err = o.Submit(t.Context(), w.site(func(r *deploy.Request) { _ = r.Tree.Close(); r.Tree, r.ArtifactID = nil, id }))
		refused(t, err, want.class, want.reason)
	}
	if w.deps.Len() != 0 {
		t.Error("a deployment that was refused is kept")
	}
	w.deps.Fail(errors.New("full"))
	if _, err := o.Submit(t.Context(), w.site()); err == nil {
		t.Error("a deployment that is not stored was acknowledged")
	}
	w.nothingLeft()
}

// TestRepeat: a request that comes again is the same deployment.
func TestRepeat(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	same := func(r *deploy.Request) { r.RequestID = [16]byte{1} }
	first, err := o.Submit(t.Context(), w.site(same))
	must(t, err)
	ended(t, o, first.ID)
	second, err := o.Submit(t.Context(), w.site(same))
	must(t, err)
	third, err := o.Submit(t.Context(), w.site())
	must(t, err)
	ended(t, o, third.ID)
	if second.ID != first.ID || third.ID == first.ID {
		t.Errorf("got %s, %s and %s", first.ID, second.ID, third.ID)
	}
	w.nothingLeft()
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.shop.gate = make(chan struct{})
	o, _ := w.run()
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	got, err := o.Cancel(t.Context(), "team", d.ID)
	must(t, err)
	if got, _ = ended(t, o, d.ID); got.Status != deploy.Cancelled || w.core.order("team", "shop") != nil {
		t.Errorf("got %+v", got)
	}
	_, err = o.Cancel(t.Context(), "team", d.ID)
	refused(t, err, status.Conflict, "deployment.ended")
	_, err = o.Cancel(t.Context(), "other", d.ID)
	refused(t, err, status.NotFound, "deployment.unknown")
	w.nothingLeft()

	// Once it is placed, the core carries it out.
	w.shop.gate, w.core.gate = nil, make(chan struct{})
	d, err = o.Submit(t.Context(), w.site())
	must(t, err)
	must2 := errors.New("seen")
	err = o.Watch(t.Context(), "team", d.ID, 0, func(e deploy.Event) error {
		if e.Text == "accepted" {
			return must2
		}
		return nil
	})
	if !errors.Is(err, must2) {
		t.Fatal(err)
	}
	_, err = o.Cancel(t.Context(), "team", d.ID)
	refused(t, err, status.Conflict, "deployment.placed")
	close(w.core.gate)
	if got, _ := ended(t, o, d.ID); got.Status != deploy.Succeeded {
		t.Errorf("got %+v", got)
	}
}

// TestInterrupted stops the process while it builds, and while the core works.
func TestInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		gate func(w *world) chan struct{}
		text string
		want deploy.Status
		code string
	}{
		"building": {func(w *world) chan struct{} { w.shop.gate = make(chan struct{}); return w.shop.gate }, "", deploy.Failed, "deploy.interrupted"},
		"placed":   {func(w *world) chan struct{} { w.core.gate = make(chan struct{}); return w.core.gate }, "accepted", deploy.Succeeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			gate := c.gate(w)
			o, stop := w.run()
			d, err := o.Submit(t.Context(), w.site())
			must(t, err)
			seen := errors.New("seen")
			err = o.Watch(t.Context(), "team", d.ID, 0, func(e deploy.Event) error {
				if e.Text == c.text && (e.Deployment == nil || e.Deployment.Stage == "building") {
					return seen
				}
				return nil
			})
			if !errors.Is(err, seen) {
				t.Fatal(err)
			}
			stop()
			close(gate)
			o, _ = w.run()
			got, _ := ended(t, o, d.ID)
			if got.Status != c.want || got.Failure != nil && got.Failure.Code != c.code {
				t.Errorf("got %+v, %+v", got, got.Failure)
			}
		})
	}
}

// TestAgain rolls back, promotes and deletes.
func TestAgain(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	dev := func(r *deploy.Request) { r.Environment = "development" }
	one, err := o.Submit(t.Context(), w.site(dev))
	must(t, err)
	one, _ = ended(t, o, one.ID)
	two, err := o.Submit(t.Context(), w.site(dev))
	must(t, err)
	two, _ = ended(t, o, two.ID)
	if two.Revision != 2 || two.Results[0].Operation != "update" || w.core.order("team", "shop--development") == nil {
		t.Errorf("got %+v", two)
	}
	back, err := o.Rollback(t.Context(), "team", one.ID, "bob")
	must(t, err)
	back, _ = ended(t, o, back.ID)
	if back.Status != deploy.Succeeded || back.Revision != 3 || back.Rollback != 1 || back.CreatedBy != "bob" || back.ManifestDigest != one.ManifestDigest {
		t.Errorf("got %+v", back)
	}
	up, err := o.Promote(t.Context(), "team", two.ID, "", "bob")
	must(t, err)
	up, _ = ended(t, o, up.ID)
	if up.Status != deploy.Succeeded || up.Environment != "production" || up.Promoted != two.ID || up.Results[0].Operation != "create" || w.core.order("team", "shop") == nil {
		t.Errorf("got %+v", up)
	}
	_, err = o.Promote(t.Context(), "team", up.ID, "production", "bob")
	refused(t, err, status.InvalidArgument, "deploy.invalid")
	list, total, err := o.ListDeployments(t.Context(), "team", one.AppID, deploy.Page{Number: 2, Size: 3})
	if err != nil || total != 4 || len(list) != 1 || list[0].ID != one.ID {
		t.Errorf("got %d of %d: %+v, %v", len(list), total, list, err)
	}
	var lines []string
	must(t, o.Logs(t.Context(), "team", up.ID, provider.LogQuery{}, func(l provider.LogLine) error {
		lines = append(lines, string(l.Text))
		return nil
	}))
	if !slices.Equal(lines, []string{"line of shop"}) {
		t.Errorf("got %q", lines)
	}
	err = o.Logs(t.Context(), "team", one.ID, provider.LogQuery{}, nil)
	refused(t, err, status.NotFound, "deployment.no_logs")
	must(t, o.DeleteApp(t.Context(), "team", one.AppID))
	if len(w.core.pods) != 0 || w.apps.Len() != 0 || w.deps.Len() != 0 || len(w.shop.aliases) != 0 {
		t.Errorf("left: %v %v %v %v", w.core.pods, w.apps.Len(), w.deps.Len(), w.shop.aliases)
	}
	refused(t, o.DeleteApp(t.Context(), "team", one.AppID), status.NotFound, "app.unknown")
}

// TestImageArchive takes an archive of an image as curl sends it, which is unpacked
// on its way in, and as one file within another archive.
func TestImageArchive(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	image := func(r *deploy.Request) {
		r.Runtime = "image"
		for _, name := range []string{"oci-layout", "index.json", "manifest.json"} {
			_, err := r.Tree.Add(t.Context(), name, strings.NewReader("{}"))
			must(t, err)
		}
	}
	d, err := o.Submit(t.Context(), w.site(image))
	must(t, err)
	if d, _ = ended(t, o, d.ID); d.Status != deploy.Succeeded {
		t.Fatalf("got %+v, %+v", d, d.Failure)
	}
	if got := w.shop.archives; len(got) != 1 || !slices.Equal(got[0], []string{"index.html", "index.json", "manifest.json", "oci-layout"}) {
		t.Errorf("the builder read %q", got)
	}
	d, err = o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.Runtime = "image" }))
	must(t, err)
	if d, _ = ended(t, o, d.ID); d.Status != deploy.Succeeded || w.shop.built[1].ArchiveSize != int64(len("<h1>hello</h1>")) {
		t.Errorf("got %+v, %+v", d, w.shop.built[1])
	}
	w.nothingLeft()
}

// TestFaultsAreKept: what was wrong with what was deployed is said of the
// deployment, each fault of it.
func TestFaultsAreKept(t *testing.T) {
	w := newWorld(t)
	var faults []status.Fault
	for range 20 {
		faults = append(faults, status.Fault{Field: "/x", Got: "this", Want: "that"})
	}
	w.shop.fail = status.Invalid("build.lock", "the lock file", faults)
	o, _ := w.run()
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	d, _ = ended(t, o, d.ID)
	if d.Failure == nil || len(d.Failure.Faults) != 16 || d.Failure.Faults[0] != (deploy.Fault{Field: "/x", Got: "this", Want: "that"}) {
		t.Errorf("got %+v", d.Failure)
	}
	w.nothingLeft()
}

// TestArtifactsInUse are held while what was made of them runs.
func TestArtifactsInUse(t *testing.T) {
	w := newWorld(t)
	o, stop := w.run()
	use := func(r *deploy.Request) { _ = r.Tree.Close(); r.Tree, r.ArtifactID, r.Runtime = nil, "a1", "binary" }
	d, err := o.Submit(t.Context(), w.site(use))
	must(t, err)
	if d.PreviewURL != "http://shop-team-"+d.ID[:8]+".localhost:8081/" {
		t.Errorf("got %q before it runs", d.PreviewURL)
	}
	d, _ = ended(t, o, d.ID)
	if d.Status != deploy.Succeeded || d.Source.Type != "artifact" || d.Source.Digest != "sha256:"+strings.Repeat("cd", 32) || w.shop.held["team/shop"] != "a1" {
		t.Fatalf("got %+v, %v, held %v", d, d.Failure, w.shop.held)
	}
	stop()
	clear(w.shop.held)
	o, _ = w.run()
	if w.shop.held["team/shop"] != "a1" {
		t.Error("it is not held after a restart")
	}
	next, err := o.Submit(t.Context(), w.site())
	must(t, err)
	ended(t, o, next.ID)
	if len(w.shop.held) != 0 {
		t.Errorf("held %v", w.shop.held)
	}
	back, err := o.Rollback(t.Context(), "team", d.ID, "bob")
	must(t, err)
	ended(t, o, back.ID)
	if w.shop.held["team/shop"] != "a1" {
		t.Errorf("held %v after the roll back", w.shop.held)
	}
	w.nothingLeft()
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	p, err := o.Plan(t.Context(), w.site())
	must(t, err)
	if p.Asset != "EUR" || p.PerHour != "0.02" || len(p.Changes) != 1 || p.Changes[0] != (deploy.Change{Field: "replicas.min", Kind: "changed", Old: "1", New: "2"}) {
		t.Errorf("got %+v", p)
	}
	if p.Operation != "create" || !slices.Equal(p.Entry.Reason, []string{"it is static"}) || w.core.order("team", "shop") != nil || w.deps.Len() != 0 {
		t.Errorf("got %+v", p)
	}
	d, err := o.Submit(t.Context(), w.site())
	must(t, err)
	ended(t, o, d.ID)
	if p, err = o.Plan(t.Context(), w.site()); err != nil || p.Operation != "update" {
		t.Errorf("got %+v, %v", p, err)
	}
	w.nothingLeft()
}

func TestApps(t *testing.T) {
	w := newWorld(t)
	o, _ := w.run()
	a, err := o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "web", Description: "x", Labels: map[string]string{"k": "v"}})
	must(t, err)
	if a.Subdomain != "web-team" || a.Version != 1 || !slices.Equal(a.Environments, []string{"production", "development"}) {
		t.Errorf("got %+v", a)
	}
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "web"})
	refused(t, err, status.Conflict, "app.exists")
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "web-team", Name: "x"})
	must(t, err)
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "x-web"})
	refused(t, err, status.Conflict, "app.exists") // the same subdomain by another split
	dotted, err := o.CreateApp(t.Context(), deploy.App{Namespace: "x.main", Name: "web"})
	must(t, err)
	if dotted.Subdomain != "web-x-main" || dotted.Namespace != "x.main" {
		t.Errorf("got %+v", dotted)
	}
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "x-main", Name: "web"})
	refused(t, err, status.Conflict, "app.exists")
	_, err = o.AppByName(t.Context(), "x-main", "web")
	refused(t, err, status.NotFound, "app.unknown")
	must(t, o.DeleteApp(t.Context(), "x.main", dotted.ID))
	_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "T", Name: "a--b", Labels: map[string]string{"": ""}, Env: map[string]string{"A=": ""}})
	refused(t, err, status.InvalidArgument, "app.invalid")
	if got := status.Public(err).Faults; len(got) != 4 || got[0].Field != "/env/A=" {
		t.Errorf("got %+v", got)
	}
	for name, value := range map[string]string{"1A": "", "a b": "", "\u00e9": "", "A": "a\x00", "B": "a\x1b"} {
		_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: "env", Env: map[string]string{name: value}})
		refused(t, err, status.InvalidArgument, "app.invalid")
	}
	got, err := o.UpdateApp(t.Context(), "team", a.ID, 1, func(a *deploy.App) error { a.Description, a.Name = "y", "other"; return nil })
	if err != nil || got.Version != 2 || got.Description != "y" || got.Name != "web" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = o.UpdateApp(t.Context(), "team", a.ID, 1, func(*deploy.App) error { return nil })
	refused(t, err, status.Conflict, "app.version")
	for _, name := range []string{"c", "b"} {
		_, err = o.CreateApp(t.Context(), deploy.App{Namespace: "team", Name: name})
		must(t, err)
	}
	list, total, err := o.ListApps(t.Context(), "team", deploy.Page{Number: 2, Size: 2, SortBy: "name"})
	if err != nil || total != 3 || len(list) != 1 || list[0].Name != "web" {
		t.Errorf("got %d: %+v, %v", total, list, err)
	}
	_, total, err = o.ListApps(t.Context(), "*", deploy.Page{})
	if err != nil || total != 4 {
		t.Errorf("got %d, %v", total, err)
	}
	_, _, err = o.ListApps(t.Context(), "*", deploy.Page{SortBy: "size"})
	refused(t, err, status.InvalidArgument, "page.invalid")
}
