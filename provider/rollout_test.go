package provider_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

// serving are the last instances that routes led to, by revision and replica.
func (n *node) serving() []string {
	n.w.t.Helper()
	have, err := n.w.rt.List(n.w.t.Context())
	must(n.w.t, err)
	var out []string
	for _, addr := range n.board.of(provider.PodIDOf(alice, "app")).backends {
		for _, i := range have {
			if i.IP == addr {
				_, rest, _ := strings.Cut(string(i.ID), "-")
				out = append(out, rest)
			}
		}
	}
	return out
}

// drains holds up the end of what leads to a replaced revision.
type drains struct {
	entered, leave chan struct{}
}

func (d drains) Drain(ctx context.Context, _ provider.PodID) {
	d.entered <- struct{}{}
	select {
	case <-d.leave:
	case <-ctx.Done():
	}
}

// TestRollout watches one update: the old revision serves until the new one is
// healthy, both run while the old one drains, and it is gone after.
func TestRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := drains{make(chan struct{}), make(chan struct{})}
		n := w.run(func(c *provider.Config) { c.Drains = d })
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
		var published [][]string
		n.board.onPublish = func(_ provider.PodID, backends []string) { published = append(published, backends) }
		old := n.board.of(provider.PodIDOf(alice, "app")).backends
		got := n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep"), host("a.example")), replaces(1)))
		if got.Revision != 2 || !slices.Equal(n.serving(), []string{"2-0"}) {
			t.Errorf("got %+v, serving %q", got, n.serving())
		}
		<-d.entered
		n.has("1-0 up", "2-0 up")
		if charged := n.stock.charged; len(charged) != 2 {
			t.Errorf("both revisions run and %v is charged", charged)
		}
		close(d.leave)
		synctest.Wait()
		n.has("2-0 up")
		if charged := n.stock.charged; len(charged) != 1 {
			t.Errorf("one revision runs and %v is charged", charged)
		}
		for _, backends := range published {
			if len(backends) != 1 || slices.Equal(backends, old) && len(published) > 1 {
				t.Errorf("routes led to %q", backends)
			}
		}
	})
}

// TestDrainIsBounded stops the old revision when its requests do not end.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := drains{make(chan struct{}, 1), nil}
		n := w.run(func(c *provider.Config) { c.Drains = d })
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1)))
		later(29 * time.Second)
		n.has("1-0 up", "2-0 up")
		later(2 * time.Second)
		n.has("2-0 up")
	})
}

// TestFailedUpdateDisturbsNothing tries revisions that do not come up, one of
// them after a while. The old one serves all the time, and the answer has the
// new one's last lines.
func TestFailedUpdateDisturbsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		change func(*manifest.Manifest)
		reason string
	}{
		"it exits":         {[]string{"echo", "no", "config", ";", "exit", "3"}, func(*manifest.Manifest) {}, "app.exited"},
		"it is never well": {[]string{"echo", "no", "config", ";", "sleep"}, checked(runtimetest.Probe, "exit", "1"), "app.unhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
				var published int
				n.board.onPublish = func(_ provider.PodID, backends []string) {
					if len(backends) != 1 {
						published++
					}
				}
				_, err := n.provision(order(t, alice, provider.Update, app("app", w.image(c.script...), c.change), replaces(1)))
				refused(t, err, status.AppFailed, c.reason)
				if log := strings.Join(status.Public(err).Log, "\n"); !strings.Contains(log, "no config") {
					t.Errorf("the answer has the log %q", log)
				}
				later(time.Minute)
				n.has("1-0 up")
				if !slices.Equal(n.serving(), []string{"1-0"}) || published > 0 || n.state() != provider.StateRunning {
					t.Errorf("serving %q, %d times nothing, in state %s", n.serving(), published, n.state())
				}
				if n.stock.charged[provider.PodIDOf(alice, "app")] != 100 || len(n.stock.charged) != 1 {
					t.Errorf("charged %v", n.stock.charged)
				}
			})
		})
	}
}

// TestNoRoomForBoth replaces the old revision first where the machine has no
// room for both, and where both would write to one volume.
func TestNoRoomForBoth(t *testing.T) {
	big := func(m *manifest.Manifest) { m.Containers[0].Resources.CPUMillis = 600 }
	for name, change := range map[string]func(*manifest.Manifest){"volume": persistent, "room": big} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				most := &watchful{t: t, w: w}
				n := w.run(func(c *provider.Config) {
					most.Runtime = c.Runtime
					c.Runtime = most
				})
				most.board = n.board
				n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"), change)))
				n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep"), host("a.example"), change), replaces(1)))
				n.has("2-0 up")
				if most.running > 1 {
					t.Errorf("%d instances ran at once", most.running)
				}
			})
		})
	}
}

// TestUpdateGoesOnWithoutItsPublisher: once all that it needs is here, an
// update does not depend on who asked for it.
func TestUpdateGoesOnWithoutItsPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		c := order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1))
		req, _ := n.sealed(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, _, err := n.send(ctx, c, req)
			done <- err
		}()
		synctest.Wait()
		n.has("1-0 up", "2-0 up")
		cancel()
		if <-done == nil {
			t.Error("nobody waited and it succeeded")
		}
		later(time.Minute)
		n.has("2-0 up")
		again, _, err := n.send(t.Context(), c, req)
		if err != nil || again.Revision != 2 {
			t.Errorf("got %+v, %v", again, err)
		}
	})
}
