package provider_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

// past is a line of a pod's history.
type past struct {
	Revision, From      uint64
	Outcome             provider.Outcome
	Current, Restorable bool
}

func (n *node) history() []past {
	n.w.t.Helper()
	views, err := n.History(n.w.t.Context(), alice, "app")
	must(n.w.t, err)
	var out []past
	for _, v := range views {
		out = append(out, past{v.Revision, v.From, v.Outcome, v.Current, v.Restorable})
	}
	return out
}

func (n *node) rollback(to, expected uint64) (provider.Provisioned, error) {
	n.w.t.Helper()
	req := provider.RollbackRequest{Publisher: alice, Name: "app", To: to, Expected: expected, RequestID: [16]byte{2, byte(requests.Add(1))}}
	return n.Rollback(n.w.t.Context(), req, func(provider.Progress) {})
}

func TestRollbackAndHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		first := w.image("sleep")
		secrets := func(c *call) { c.order.Secrets = map[string]map[string][]byte{"s": {"f": []byte("x")}} }
		secret := func(m *manifest.Manifest) { m.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret}} }
		made := n.deploy(order(t, alice, provider.Create, app("app", first, host("a.example"), secret), secrets))
		_, err := n.rollback(0, 0)
		refused(t, err, status.Conflict, "pod.no_previous")
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep"), host("b.example")), replaces(1)))
		_, err = n.provision(order(t, alice, provider.Update, app("app", w.image("exit", "1")), replaces(2)))
		refused(t, err, status.AppFailed, "app.exited")
		synctest.Wait()
		want := []past{
			{Revision: 3, Outcome: provider.OutcomeFailed},
			{Revision: 2, Outcome: provider.OutcomeUp, Current: true},
			{Revision: 1, Outcome: provider.OutcomeUp, Restorable: true},
		}
		if diff := cmp.Diff(want, n.history()); diff != "" {
			t.Error(diff)
		}

		// The images' publisher is gone, and the provider started again.
		n.stop()
		n = w.run()
		w.images.mu.Lock()
		w.images.fail = nil
		w.images.mu.Unlock()
		_, err = n.rollback(1, 1)
		refused(t, err, status.Conflict, "pod.revision")
		_, err = n.rollback(3, 0)
		refused(t, err, status.NotFound, "pod.no_revision")
		_, err = n.rollback(2, 0)
		refused(t, err, status.Conflict, "pod.revision")
		_, err = n.rollback(9, 0)
		refused(t, err, status.NotFound, "pod.no_revision")
		_, err = n.Rollback(t.Context(), provider.RollbackRequest{Publisher: bob, Name: "app"}, func(provider.Progress) {})
		refused(t, err, status.NotFound, "pod.unknown")
		got, err := n.rollback(0, 2)
		must(t, err)
		synctest.Wait()
		if got.Revision != 4 || got.ManifestDigest != made.ManifestDigest || got.Endpoints[0].Host != "a.example" || got.Release == nil {
			t.Errorf("got %+v", got)
		}
		n.has("4-0 up")
		spec := must1(w.rt.List(t.Context()))[0]
		if spec.Containers[0].ImageID != first.ImageID {
			t.Errorf("got %+v", spec)
		}
		want = append([]past{{Revision: 4, From: 1, Outcome: provider.OutcomeUp, Current: true}}, want...)
		want[2].Current, want[2].Restorable = false, true
		if diff := cmp.Diff(want, n.history()); diff != "" {
			t.Error(diff)
		}
		must(t, n.Delete(t.Context(), alice, "app", false))
		n.has()
		if len(w.store.pasts) != 0 {
			t.Errorf("left: %v", w.store.pasts)
		}
	})
}

// TestHistoryIsBounded: revisions that are too old to be brought back keep
// nothing here, and much older ones are forgotten.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		imgs := []manifest.Image{w.image("sleep"), w.image("echo", ";", "sleep")}
		n.deploy(order(t, alice, provider.Create, app("app", imgs[0])))
		for r := uint64(1); r < 25; r++ {
			n.deploy(order(t, alice, provider.Update, app("app", imgs[r%2]), replaces(r)))
			later(time.Second)
		}
		have := n.history()
		if len(have) != 20 || have[0].Revision != 25 {
			t.Errorf("got %d: %v", len(have), have)
		}
		if can := slices.DeleteFunc(have, func(p past) bool { return !p.Restorable }); len(can) != 4 || can[3].Revision != 21 {
			t.Errorf("can go back to %v", can)
		}
		if got := w.owners(); len(got) != 5 {
			t.Errorf("images are kept for %q", got)
		}
		n.has("25-0 up")
	})
}

// TestFailuresAreBounded: revisions that fail are remembered, and not for ever;
// nor are those of a pod that stops for its updates.
func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		imgs := []manifest.Image{w.image("sleep"), w.image("echo", ";", "sleep")}
		n.deploy(order(t, alice, provider.Create, app("app", imgs[0], persistent)))
		for r := uint64(1); r < 24; r++ {
			n.deploy(order(t, alice, provider.Update, app("app", imgs[r%2], persistent), replaces(r)))
		}
		if have := n.history(); len(have) != 20 || len(w.owners()) != 5 {
			t.Errorf("got %d revisions, images of %q", len(have), w.owners())
		}
		bad := w.image("exit", "1")
		for range 24 {
			_, err := n.provision(order(t, alice, provider.Update, app("app", bad), replaces(24)))
			refused(t, err, status.AppFailed, "app.exited")
		}
		have := n.history()
		if len(have) > 21 || have[0].Revision != 48 || !slices.ContainsFunc(have, func(p past) bool { return p.Current && p.Revision == 24 }) {
			t.Errorf("got %d: %v", len(have), have)
		}
		n.has("24-0 up")
	})
}

// TestNothingIsRaised: an order for a pod that had failed, and fails again, brings
// back nothing that nobody was running any more.
func TestNothingIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		stocked := w.images.stock[img.CID]
		n.deploy(order(t, alice, provider.Create, app("app", img, persistent)))
		// What comes back is gone from the machine, and from those who served it.
		w.images.mu.Lock()
		delete(w.images.stock, img.CID)
		w.images.mu.Unlock()
		bad := func(c provider.Operation, more ...func(*call)) {
			t.Helper()
			_, err := n.provision(order(t, alice, c, app("app", w.image("exit", "1"), persistent), more...))
			refused(t, err, status.AppFailed, "app.exited")
		}
		bad(provider.Update, replaces(1))
		later(5 * time.Minute)
		if n.state() != provider.StateFailed {
			t.Fatalf("it is %s", n.state())
		}
		w.images.mu.Lock()
		w.images.stock[img.CID] = stocked
		w.images.mu.Unlock()
		bad(provider.Create)
		later(5 * time.Minute)
		if n.state() != provider.StateFailed {
			t.Errorf("it is %s", n.state())
		}
		n.has()
	})
}

// persistent has the app write to a volume that outlives its revisions.
func persistent(m *manifest.Manifest) {
	m.Volumes = []manifest.Volume{{Name: "data", Kind: manifest.Persistent, Bytes: 1 << 20}}
	m.Containers[0].Mounts = []manifest.Mount{{Volume: "data", Path: "/data"}}
}

// TestBroughtBack: where the old revision had to stop first, one that fails is
// followed by what was there before, once.
func TestBroughtBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		made := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"), persistent)))
		_, err := n.provision(order(t, alice, provider.Update, app("app", w.image("echo", "oh", ";", "exit", "1"), persistent), replaces(1)))
		refused(t, err, status.AppFailed, "app.exited")
		if got := status.Public(err); got.Hint == "" || !slices.Contains(got.Log, "web: oh") {
			t.Errorf("got %+v", got)
		}
		later(time.Minute)
		n.has("3-0 up")
		view, err := n.Status(t.Context(), alice, "app")
		must(t, err)
		if view.State != provider.StateRunning || view.ManifestDigest != made.ManifestDigest || !slices.Equal(n.serving(), []string{"3-0"}) || n.stock.charged[view.ID] != 100 {
			t.Errorf("got %+v, serving %q", view, n.serving())
		}
		want := []past{
			{Revision: 3, From: 1, Outcome: provider.OutcomeUp, Current: true},
			{Revision: 2, Outcome: provider.OutcomeFailed},
			{Revision: 1, Outcome: provider.OutcomeUp, Restorable: true},
		}
		if diff := cmp.Diff(want, n.history()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestBroughtBackAfterSeveral: what ran last also comes back after an order that
// overtook one which was not up yet, or that came while it was coming back.
func TestBroughtBackAfterSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		at     uint64
	}{
		"overtaken":   {[]string{"echo", ";", "sleep"}, 2},
		"coming back": {[]string{"echo", ";", "exit", "1"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				made := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), persistent)))
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, err := n.provision(order(t, alice, provider.Update, app("app", w.image(c.script...), persistent, checked(runtimetest.Probe, "exit", "1")), replaces(1)))
					if err == nil {
						t.Error("the first update came up")
					}
				}()
				for len(n.history()) < int(c.at) || n.state() == provider.StateAccepted {
					later(50 * time.Millisecond)
				}
				if got := n.state(); got != provider.StateStarting {
					t.Fatalf("the pod is %s", got)
				}
				_, err := n.provision(order(t, alice, provider.Update, app("app", w.image("exit", "1"), persistent), replaces(c.at)))
				refused(t, err, status.AppFailed, "app.exited")
				<-ended
				later(time.Minute)
				view, err := n.Status(t.Context(), alice, "app")
				must(t, err)
				if view.State != provider.StateRunning || view.ManifestDigest != made.ManifestDigest {
					t.Errorf("got %+v, history %+v", view, n.history())
				}
			})
		})
	}
}

// TestDirect deploys for a tenant who trusts the provider: no attestation, and
// the same pods.
func TestDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		direct := func(m *manifest.Manifest, change ...func(*provider.Direct)) (provider.Provisioned, error) {
			b, err := manifest.Marshal(m)
			must(t, err)
			d := provider.Direct{Tenant: "ns:team", Manifest: b, RequestID: [16]byte{3, byte(requests.Add(1))}, Source: []byte("src")}
			for _, f := range change {
				f(&d)
			}
			return n.Deploy(t.Context(), d, func(provider.Progress) {})
		}
		dry := func(d *provider.Direct) { d.DryRun = true }
		_, err := direct(app("app", w.image("sleep"), host("a.example")), dry)
		must(t, err)
		n.has()
		got, err := direct(app("app", w.image("sleep"), host("a.example")))
		must(t, err)
		if got.Revision != 1 || got.Release != nil || got.Receipt == nil || got.PodID != provider.PodIDOf("ns:team", "app") {
			t.Errorf("got %+v", got)
		}
		_, err = direct(app("app", w.image("sleep")), func(d *provider.Direct) { d.Expected = 7 })
		refused(t, err, status.Conflict, "pod.revision")
		_, err = direct(app("other", w.image("sleep")), func(d *provider.Direct) { d.Expected = 7 })
		refused(t, err, status.Conflict, "pod.revision")
		_, err = direct(app("app", w.image("sleep")), func(d *provider.Direct) { d.Keys = map[string][]byte{"k": {1}} })
		refused(t, err, status.InvalidArgument, "provision.parts")
		same := func(d *provider.Direct) { d.RequestID = [16]byte{9} }
		got, err = direct(app("app", w.image("echo", ";", "sleep"), host("a.example")), same)
		must(t, err)
		again, err := direct(app("app", w.image("echo", ";", "sleep"), host("a.example")), same)
		must(t, err)
		if got.Revision != 2 || again.Revision != 2 {
			t.Errorf("got %+v, then %+v", got, again)
		}
		later(time.Minute)
		n.has("2-0 up")
		if _, err := n.Status(context.WithoutCancel(t.Context()), alice, "app"); err == nil {
			t.Error("a publisher sees a tenant's pod")
		}
		views, err := n.History(t.Context(), "ns:team", "app")
		must(t, err)
		if len(views) != 2 || string(views[0].Source) != "src" || views[0].Images[0].Name != "web" {
			t.Errorf("got %+v", views)
		}
	})
}
