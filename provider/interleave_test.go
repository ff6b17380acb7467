package provider_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestNoTrafficToARemovedInstance looks at the routes whenever an instance is
// removed: its address is given to the next one that is made.
func TestNoTrafficToARemovedInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch := &watchful{t: t, w: w}
		n := w.run(func(c *provider.Config) {
			watch.Runtime = c.Runtime
			c.Runtime = watch
		})
		watch.board = n.board
		img := w.image("sleep")
		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep"), host("a.example")), replaces(1)))
		_, err := n.provision(order(t, alice, provider.Update, app("app", w.image("exit", "1"), host("a.example"), func(m *manifest.Manifest) { m.Containers[0].Health = nil; m.Containers[0].Ports = nil }), replaces(2)))
		refused(t, err, status.AppFailed, "app.exited")
		n.deploy(order(t, alice, provider.Update, app("app", img, host("a.example")), replaces(2)))
		must(t, n.Delete(t.Context(), alice, "app", false))
		if watch.removed < 4 {
			t.Errorf("%d instances were removed", watch.removed)
		}
	})
}

// TestDeleteWhileFetching does not wait for the image.
func TestDeleteWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		w.images.gate(img)
		c := order(t, alice, provider.Create, app("app", img, host("a.example")))
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		synctest.Wait()
		must(t, n.Delete(t.Context(), alice, "app", false))
		refused(t, <-done, status.Conflict, "pod.deleted")
		n.has()
		// The name is free at once.
		delete(w.images.gates, img.CID)
		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		n.has("1-0 up")
	})
}

// TestDeleteWhileBackingOff does not wait for the next attempt.
func TestDeleteWhileBackingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		w.images.mu.Lock()
		w.images.fail = status.New(status.Unavailable, "content.unavailable", "nobody has it")
		w.images.mu.Unlock()
		must(t, w.rt.Remove(t.Context(), provider.InstanceID(string(got.PodID)+"-1-0"), 0))
		later(10 * time.Minute)
		began := time.Now()
		must(t, n.Delete(t.Context(), alice, "app", false))
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("waited %s", waited)
		}
		n.has()
	})
}

// TestLateChange is a change that a driver makes for a revision that is not
// current any more: the record stays as it is.
func TestLateChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1)))
		before := w.store.records[got.PodID]
		fail := func(r *provider.Record) { r.State, r.Manifest = provider.StateFailed, nil }
		if err := n.Advance(t.Context(), got.PodID, 1, fail); !errors.Is(err, provider.ErrOvertaken) {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(before, w.store.records[got.PodID]); diff != "" {
			t.Errorf("the record was changed:\n%s", diff)
		}
		late := n.Late(got.PodID)
		must(t, n.Delete(t.Context(), alice, "app", false))
		refused(t, late(t.Context(), func(r *provider.Record) { r.Reason = "late" }), status.NotFound, "pod.unknown")
		if len(w.store.records) != 0 {
			t.Error("the record is back")
		}
	})
}

// TestUpdateWhileFetching replaces an order whose image does not come.
func TestUpdateWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		w.images.gate(img)
		c := order(t, alice, provider.Create, app("app", img))
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		synctest.Wait()
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1)))
		refused(t, <-done, status.Conflict, "pod.superseded")
		n.has("2-0 up")
	})
}

// TestImageThatComesLate waits for a publisher that was interrupted, but not
// for ever.
func TestImageThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		w.images.fail = status.New(status.Unavailable, "content.unavailable", "nobody has it")
		img := w.image("sleep")
		c := order(t, alice, provider.Create, app("app", img))
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		later(90 * time.Second)
		w.images.mu.Lock()
		w.images.fail = nil
		w.images.mu.Unlock()
		must(t, <-done)
		must(t, n.Delete(t.Context(), alice, "app", false))

		w.images.fail = status.New(status.Unavailable, "content.unavailable", "nobody has it")
		began := time.Now()
		_, err := n.provision(order(t, alice, provider.Create, app("app", img)))
		refused(t, err, status.Unavailable, "content.unavailable")
		if waited := time.Since(began); waited < 2*time.Minute || waited > 5*time.Minute {
			t.Errorf("waited %s", waited)
		}
		n.has()
	})
}
