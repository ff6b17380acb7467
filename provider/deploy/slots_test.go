package deploy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// TestSilentRegistry: a registry that never ends its answer holds up its namespace, and
// no other one; and not for ever.
func TestSilentRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.resolve = func(ctx context.Context) (*oci.Image, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		o, _ := w.run()
		var stuck []deploy.Deployment
		for range 4 {
			d, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) {
				must(t, r.Tree.Close())
				r.Namespace, r.Runtime, r.Tree, r.Image = "greedy", "", nil, "registry.example/slow:1"
			}))
			must(t, err)
			stuck = append(stuck, d)
		}
		synctest.Wait()
		began := time.Now()
		d, err := o.Submit(t.Context(), w.site())
		must(t, err)
		d, _ = ended(t, o, d.ID)
		if d.Status != deploy.Succeeded || time.Since(began) > time.Minute {
			t.Errorf("after %s it is %+v", time.Since(began), d)
		}
		for _, d := range stuck {
			must(t, o.Watch(t.Context(), "greedy", d.ID, 0, func(deploy.Event) error { return nil }))
			d, err := o.Deployment(t.Context(), "greedy", d.ID)
			must(t, err)
			if d.Status != deploy.Failed || d.Failure.Code != "deploy.image_time" || d.Failure.Class != status.DeadlineExceeded {
				t.Errorf("got %+v", d.Failure)
			}
		}
	})
}

// TestCancelledBeforeItsTurn: who waits for a place and is cancelled takes none.
func TestCancelledBeforeItsTurn(t *testing.T) {
	w := newWorld(t)
	w.shop.gate = make(chan struct{})
	o, _ := w.run()
	var all []deploy.Deployment
	for range 5 {
		d, err := o.Submit(t.Context(), w.site())
		must(t, err)
		all = append(all, d)
	}
	for _, d := range all[1:] {
		got, err := o.Cancel(t.Context(), "team", d.ID)
		must(t, err)
		if got.Status != deploy.Cancelled {
			t.Errorf("got %+v", got)
		}
	}
	close(w.shop.gate)
	for range 5 {
		d, err := o.Submit(t.Context(), w.site())
		must(t, err)
		all = append(all, d)
	}
	for _, d := range append(all[:1:1], all[5:]...) {
		if got, _ := ended(t, o, d.ID); got.Status != deploy.Succeeded {
			t.Errorf("got %+v", got)
		}
	}
}
