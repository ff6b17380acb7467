package provider_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// lock is a start with another data key: the store knows no secrets. What it
// returns brings the first key back.
func (w *world) lock() (unlock func()) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	whole := map[provider.PodID]provider.Record{}
	for id, r := range w.store.records {
		whole[id] = r
		r.Locked, r.Manifest, r.Keys, r.Secrets, r.Confirm = true, nil, nil, nil, nil
		w.store.records[id] = r
	}
	return func() {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		for id, r := range w.store.records {
			if r.Locked {
				w.store.records[id] = whole[id]
			}
		}
	}
}

// stopAll ends all that runs, as a reboot does.
func (w *world) stopAll() {
	for _, i := range must1(w.rt.List(w.t.Context())) {
		for _, c := range i.Containers {
			if c.Running {
				must(w.t, w.rt.Kill(i.ID, c.Name, 137))
			}
		}
	}
	synctest.Wait()
}

// volume gives the app a persistent volume.
func volume(m *manifest.Manifest) {
	m.Volumes = []manifest.Volume{{Name: "v", Kind: manifest.Persistent, Bytes: 1 << 20}}
	m.Containers[0].Mounts = []manifest.Mount{{Volume: "v", Path: "/v"}}
}

func reason(n *node) string {
	v, err := n.Status(n.w.t.Context(), alice, "app")
	must(n.w.t, err)
	return v.Reason
}

// locked runs a pod, restarts the machine in another measured state, and calls test.
func locked(t *testing.T, test func(t *testing.T, w *world, n *node, before provider.Provisioned, unlock func())) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		before := n.deploy(order(t, alice, provider.Create, app("app", w.image("write", "/v/f", "kept", ";", "sleep"), host("a.example"), volume)))
		n.stop()
		w.stopAll()
		unlock := w.lock()
		n = w.run()
		synctest.Wait()
		later(time.Hour)
		if n.state() != provider.StateWaitingForKeys {
			t.Fatalf("the pod is %q", n.state())
		}
		if got := w.instances(); !slices.Equal(got, []string{"1-0 down"}) {
			t.Errorf("a pod without keys was touched: %q", got)
		}
		test(t, w, n, before, unlock)
	})
}

func TestWaitingForKeys(t *testing.T) {
	t.Run("says so", func(t *testing.T) {
		locked(t, func(t *testing.T, w *world, n *node, before provider.Provisioned, _ func()) {
			if got := n.board.of(before.PodID); len(got.backends) > 0 || !strings.Contains(got.why, "deploy it again") || got.why != reason(n) {
				t.Errorf("got %+v, %q", got, reason(n))
			}
			err := n.ReadLogs(t.Context(), alice, "app", provider.LogQuery{}, nil)
			refused(t, err, status.NotFound, "pod.no_logs")
			// Names stay held, and other publishers know nothing of it.
			_, err = n.provision(order(t, bob, provider.Create, app("other", w.image("sleep"), host("a.example"))))
			refused(t, err, status.Conflict, "ingress.taken")
			_, err = n.provision(order(t, bob, provider.Update, app("app", w.image("sleep")), replaces(1)))
			refused(t, err, status.NotFound, "pod.unknown")
			_, err = n.provision(order(t, alice, provider.Update, app("app", w.image("sleep")), replaces(7)))
			refused(t, err, status.Conflict, "pod.revision")
		})
	})
	for name, op := range map[string]func(call *call){
		"update": replaces(1),
		"create": func(c *call) { c.op = provider.Create },
	} {
		t.Run(name, func(t *testing.T) {
			locked(t, func(t *testing.T, w *world, n *node, before provider.Provisioned, unlock func()) {
				got := n.deploy(order(t, alice, provider.Update, app("app", w.image("cat", "/v/f", ";", "sleep"), host("a.example"), volume), op))
				if got.Revision != 2 || got.PodID != before.PodID {
					t.Errorf("got %+v", got)
				}
				if diff := cmp.Diff(before.Endpoints, got.Endpoints); diff != "" {
					t.Error(diff)
				}
				n.has("2-0 up")
				synctest.Wait()
				var said []string
				must(t, n.ReadLogs(t.Context(), alice, "app", provider.LogQuery{}, func(_ uint32, l provider.LogLine) error {
					said = append(said, string(l.Text))
					return nil
				}))
				if !slices.Equal(said, []string{"kept"}) {
					t.Errorf("the volume has %q", said)
				}
				// It is a pod of this key now.
				n.stop()
				unlock()
				if r := w.store.records[before.PodID]; r.Locked || r.Revision != 2 {
					t.Errorf("stored: %+v", r)
				}
				n = w.run()
				synctest.Wait()
				if n.state() != provider.StateRunning {
					t.Errorf("the pod is %q", n.state())
				}
			})
		})
	}
	t.Run("an order that fails", func(t *testing.T) {
		locked(t, func(t *testing.T, w *world, n *node, before provider.Provisioned, _ func()) {
			_, err := n.provision(order(t, alice, provider.Update, app("app", w.image("sleep"), func(m *manifest.Manifest) {
				m.Containers[0].Resources.CPUMillis = 1 << 20
			}), replaces(1)))
			refused(t, err, status.ResourceExhausted, "capacity.cpu")
			// Such as a volume that only the earlier state opens.
			w.rt.Fail("Create", status.New(status.PermissionDenied, "vault.key", "another key"))
			_, err = n.provision(order(t, alice, provider.Update, app("app", w.image("sleep"), volume), replaces(1)))
			refused(t, err, status.PermissionDenied, "vault.key")
			w.rt.Fail("Create", nil)
			later(time.Minute)
			if r := w.store.records[before.PodID]; n.state() != provider.StateWaitingForKeys || !r.Locked || r.Revision != 1 {
				t.Errorf("the pod is %q, stored as %+v", n.state(), r)
			}
		})
	})
	t.Run("delete", func(t *testing.T) {
		locked(t, func(t *testing.T, w *world, n *node, _ provider.Provisioned, _ func()) {
			must(t, n.Delete(t.Context(), alice, "app", false))
			n.has()
			if len(w.store.records) > 0 {
				t.Errorf("left: %v", w.store.records)
			}
		})
	})
	t.Run("the state comes back", func(t *testing.T) {
		locked(t, func(t *testing.T, w *world, n *node, _ provider.Provisioned, unlock func()) {
			n.stop()
			unlock()
			n = w.run()
			later(time.Minute)
			if n.state() != provider.StateRunning {
				t.Errorf("the pod is %q", n.state())
			}
			n.has("1-0 up")
		})
	})
}

// TestRunningWithoutKeys: what runs goes on, is started again when it exits,
// and makes way for its publisher's next order.
func TestRunningWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		before := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
		backends := n.board.of(before.PodID).backends
		n.stop()
		w.lock()
		n = w.run()
		synctest.Wait()
		if got := n.board.of(before.PodID); n.state() != provider.StateRunning || !slices.Equal(got.backends, backends) {
			t.Errorf("the pod is %q with %v, want %v", n.state(), got.backends, backends)
		}
		id := must1(w.rt.List(t.Context()))[0].ID
		for range 3 {
			must(t, w.rt.Kill(id, "web", 1))
			synctest.Wait()
			if got := n.board.of(before.PodID).backends; len(got) > 0 {
				t.Errorf("traffic goes to %v, which does not run", got)
			}
			later(time.Minute)
			if got := n.board.of(before.PodID).backends; n.state() != provider.StateRunning || len(got) != 1 {
				t.Errorf("the pod is %q with %v", n.state(), got)
			}
		}
		must(t, w.rt.Remove(t.Context(), id, 0))
		later(time.Hour)
		if n.state() != provider.StateWaitingForKeys {
			t.Errorf("the pod is %q after its instance vanished", n.state())
		}
		if got := n.deploy(order(t, alice, provider.Update, app("app", w.image("sleep"), host("a.example")), replaces(1))); got.Revision != 2 {
			t.Errorf("got %+v", got)
		}
		n.has("2-0 up")
	})
}

// TestLockedRecordsAreNobodysWord: what stands in the clear of a locked record
// may be anything, and costs no other pod anything.
func TestLockedRecordsAreNobodysWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		victim := n.deploy(order(t, bob, provider.Create, app("victim", w.image("sleep"), host("v.example"))))
		mine := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
		n.stop()
		w.store.mu.Lock()
		r := w.store.records[mine.PodID]
		r.Locked, r.Manifest = true, nil
		r.Obsolete = []provider.InstanceID{provider.InstanceID(string(victim.PodID) + "-1-0")}
		r.Endpoints = victim.Endpoints
		w.store.records[mine.PodID] = r
		w.store.mu.Unlock()
		n = w.run()
		synctest.Wait()
		if got := n.board.of(victim.PodID); len(got.backends) != 1 {
			t.Errorf("the victim's route is %+v", got)
		}
		n.deploy(order(t, alice, provider.Update, app("app", w.image("sleep")), replaces(1)))
		later(time.Minute)
		v, err := n.Status(t.Context(), bob, "victim")
		must(t, err)
		if v.State != provider.StateRunning || v.Containers[0].State != "running" || v.Containers[0].Restarts > 0 {
			t.Errorf("the victim is %+v", v)
		}
	})
}
