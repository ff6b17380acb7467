package provider_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/manifest"
	"apocryph/provider"
)

// TestCrashAnywhere kills the process before and after each thing that it does
// to its disk, its containers and its images, once more while it recovers, and
// looks at what the third process makes of it: a pod that is complete, or none
// and nothing left of it.
func TestCrashAnywhere(t *testing.T) {
	two := func(m *manifest.Manifest) { m.Replicas = manifest.Replicas{Min: 2, Max: 2} }
	for name, c := range map[string]struct {
		prepare func(w *world, n *node)
		act     func(w *world, n *node) call
		// ends are the states that the pod may end in, with what runs then.
		ends   map[provider.State][][]string
		points int
	}{
		"create": {
			act: func(w *world, n *node) call {
				return order(w.t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"), two))
			},
			ends:   map[provider.State][][]string{"": {nil}, provider.StateRunning: {{"1-0 up", "1-1 up"}}},
			points: 20,
		},
		"create that fails": {
			act: func(w *world, n *node) call {
				return order(w.t, alice, provider.Create, app("app", w.image("exit", "1")))
			},
			ends:   map[provider.State][][]string{"": {nil}, provider.StateFailed: {nil}},
			points: 18,
		},
		"update": {
			prepare: func(w *world, n *node) {
				n.deploy(order(w.t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"), two)))
			},
			act: func(w *world, n *node) call {
				return order(w.t, alice, provider.Update, app("app", w.image("echo", ";", "sleep"), host("b.example")), replaces(1))
			},
			ends:   map[provider.State][][]string{provider.StateRunning: {{"1-0 up", "1-1 up"}, {"2-0 up"}}},
			points: 16,
		},
		"update that cannot work": {
			prepare: func(w *world, n *node) {
				n.deploy(order(w.t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
			},
			act: func(w *world, n *node) call {
				second := w.image("echo", ";", "sleep")
				delete(w.images.stock, second.CID)
				return order(w.t, alice, provider.Update, app("app", w.image("echo", "", "", ";", "sleep"), two, func(m *manifest.Manifest) {
					m.Containers = append(m.Containers, m.Containers[0])
					m.Containers[1].Name, m.Containers[1].Image = "second", second
				}), replaces(1))
			},
			ends:   map[provider.State][][]string{provider.StateRunning: {{"1-0 up"}}},
			points: 8,
		},
		"update that fails to start": {
			prepare: func(w *world, n *node) {
				n.deploy(order(w.t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
			},
			act: func(w *world, n *node) call {
				return order(w.t, alice, provider.Update, app("app", w.image("exit", "1")), replaces(1))
			},
			ends:   map[provider.State][][]string{provider.StateRunning: {{"1-0 up"}}},
			points: 14,
		},
		"delete": {
			prepare: func(w *world, n *node) {
				n.deploy(order(w.t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"), two)))
			},
			ends:   map[provider.State][][]string{provider.StateRunning: {{"1-0 up", "1-1 up"}}, "": {nil}},
			points: 12,
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[provider.State]bool{}
			at := 1
			for crashed := true; crashed; at++ {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					n := w.run()
					if c.prepare != nil {
						c.prepare(w, n)
					}
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan struct{})
					var act func()
					if c.act == nil {
						act = func() { _ = n.Service.Delete(ctx, alice, "app", false) }
					} else {
						call := c.act(w, n)
						req, _ := n.sealed(call)
						act = func() { _, _, _ = n.send(ctx, call, req) }
					}
					// What was prepared is at rest.
					synctest.Wait()
					w.points, w.crashAt = 0, at
					go func() {
						defer close(done)
						act()
					}()
					later(20 * time.Minute)
					cancel()
					<-done
					crashed = n.dead.Load()
					died := fmt.Sprintf("killed %s (%d)", w.last, at)
					n.stop()

					w.points, w.crashAt = 0, 1+at%5
					n = w.run()
					later(20 * time.Minute)
					died += fmt.Sprintf(", then %s", w.last)
					n.stop()

					w.crashAt = 0
					n = w.run()
					later(20 * time.Minute)
					state, have := n.state(), w.instances()
					seen[state] = true
					if ends, ok := c.ends[state]; !ok || !slices.ContainsFunc(ends, func(e []string) bool { return slices.Equal(e, have) }) {
						t.Fatalf("%s: the pod is %q and has %q", died, state, have)
					}
					n.has(have...)
					if pod := provider.PodIDOf(alice, "app"); state == provider.StateRunning {
						if r := n.board.of(pod); len(r.backends) != len(have) {
							t.Errorf("%s: got the route %+v for %q", died, r, have)
						}
						if r := w.store.records[pod]; len(r.Obsolete) != 0 || n.stock.charged[pod] != 100*uint64(len(have)) {
							t.Errorf("%s: got %v obsolete and charged %d", died, r.Obsolete, n.stock.charged[pod])
						}
					}
					if t.Failed() {
						t.Log(died)
					}
				})
			}
			if at < c.points || len(seen) != len(c.ends) {
				t.Errorf("crashed at %d points and ended in %v: the test does not reach all", at, seen)
			}
		})
	}
}
