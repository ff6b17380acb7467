package deploy_test

import (
	"context"
	"fmt"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// TestQueueIsShared: what one namespace has under way, or leaves waiting, keeps no
// other one out; and the parts of a change come in with it.
func TestQueueIsShared(t *testing.T) {
	w := newWorld(t)
	w.shop.gate = make(chan struct{})
	o, _ := w.run()
	full := 0
	for n := range 100 {
		_, err := o.Submit(t.Context(), w.site(func(r *deploy.Request) { r.Namespace, r.App = "greedy", fmt.Sprintf("a%d", n%50) }))
		if err != nil {
			refused(t, err, status.ResourceExhausted, "deploy.queue")
			full++
		}
	}
	if full == 0 || full == 100 {
		t.Errorf("%d of 100 were refused", full)
	}
	mine, err := o.Submit(t.Context(), w.site())
	must(t, err)
	const parts = 63 // with "shop" as many as a namespace has
	g, err := o.Group(t.Context(), group(), func(ctx context.Context, g *deploy.Group) error {
		for n := range parts {
			_, err := o.Submit(ctx, w.site(func(r *deploy.Request) {
				r.App = fmt.Sprintf("part%d", n)
				r.Synced = &deploy.Synced{Group: g.ID(), Gate: func(context.Context) error { return nil }}
			}))
			if err != nil {
				return fmt.Errorf("part %d: %w", n, err)
			}
		}
		return nil
	})
	must(t, err)
	if got, _ := ended(t, o, g.ID); got.Status != deploy.Succeeded {
		t.Errorf("got %+v", got.Failure)
	}
	close(w.shop.gate)
	if got, _ := ended(t, o, mine.ID); got.Status != deploy.Succeeded {
		t.Errorf("got %+v", got)
	}
}
