package provider_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider"
)

// TestRepeat sends one request several times: it is carried out once.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		open := w.images.gate(img)
		c := order(t, alice, provider.Create, app("app", img))
		req, confirm := n.sealed(c)

		type outcome struct {
			got provider.Provisioned
			err error
		}
		outcomes := make(chan outcome, 3)
		for range 2 {
			go func() {
				got, _, err := n.send(t.Context(), c, req)
				outcomes <- outcome{got, err}
			}()
			synctest.Wait()
		}
		// Another publisher's request of the same id is another request.
		_, _, err := n.send(t.Context(), call{publisher: bob}, req)
		refused(t, err, status.Untrusted, "provision.attestation")
		open()
		first, second := <-outcomes, <-outcomes
		must(t, errors.Join(first.err, second.err))
		if diff := cmp.Diff(first.got, second.got); diff != "" {
			t.Errorf("the answers differ:\n%s", diff)
		}
		third, _, err := n.send(t.Context(), c, req)
		must(t, err)
		if diff := cmp.Diff(first.got, third); diff != "" {
			t.Errorf("after the success the answer differs:\n%s", diff)
		}

		// A new process has a new key and cannot open the message; it knows the request.
		n.stop()
		n = w.run()
		again, _, err := n.send(t.Context(), c, req)
		must(t, err)
		if again.Revision != 1 || !slices.Equal(again.Confirm, confirm) {
			t.Errorf("after a restart got %+v", again)
		}
		n.has("1-0 up")
	})
}

// TestRepeatOfAFailure is told the failure again, not a new attempt.
func TestRepeatOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		c := order(t, alice, provider.Create, app("app", w.image("exit", "3")))
		req, _ := n.sealed(c)
		for range 2 {
			_, _, err := n.send(t.Context(), c, req)
			refused(t, err, status.AppFailed, "app.exited")
		}
		n.stop()
		n = w.run()
		_, _, err := n.send(t.Context(), c, req)
		refused(t, err, status.AppFailed, "pod.failed")
	})
}

func TestTwoCreatesOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		errs := make(chan error, 8)
		for range cap(errs) {
			c := order(t, alice, provider.Create, app("app", img))
			req, _ := n.sealed(c)
			go func() {
				_, _, err := n.send(t.Context(), c, req)
				errs <- err
			}()
		}
		var done int
		for range cap(errs) {
			if err := <-errs; err == nil {
				done++
			} else if status.CodeOf(err) != status.Conflict {
				t.Errorf("got %v, want a conflict", err)
			}
		}
		if done != 1 {
			t.Errorf("%d creates succeeded", done)
		}
		n.has("1-0 up")
	})
}

// TestCreateAfterAFailedOne is the second of two creates of which the first
// cannot be stored: its pod must be known to everybody.
func TestCreateAfterAFailedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		full := status.New(status.ResourceExhausted, "store.disk_full", "no space left")
		w.store.failWith(full)
		_, err := n.provision(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		refused(t, err, status.ResourceExhausted, "store.disk_full")
		n.has()
		w.store.failWith(nil)
		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		n.has("1-0 up")
		must(t, n.Delete(t.Context(), alice, "app", false))
	})
}

// TestBusy sends a second order while an update is being prepared.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		next := w.image("echo", ";", "sleep")
		open := w.images.gate(next)
		c := order(t, alice, provider.Update, app("app", next), replaces(1))
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		synctest.Wait()
		for _, op := range []provider.Operation{provider.Create, provider.Update, provider.DryRun} {
			_, err := n.provision(order(t, alice, op, app("app", next), replaces(1)))
			refused(t, err, status.Conflict, "pod.busy")
		}
		refused(t, n.Delete(t.Context(), alice, "app", false), status.Conflict, "pod.busy")
		open()
		must(t, <-done)
		synctest.Wait()
		n.has("2-0 up")
	})
}
