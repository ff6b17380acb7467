package provider_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

// TestAppsThatDoNotComeUp keeps the record for a day and frees everything else.
func TestAppsThatDoNotComeUp(t *testing.T) {
	for name, c := range map[string]struct {
		script []string
		shape  func(*manifest.Manifest)
		reason string
		line   string
		detail string
	}{
		"exits":      {[]string{"echo", "no", "database", ";", "exit", "3"}, func(*manifest.Manifest) {}, "app.exited", "web: no database", "container web exited with code 3"},
		"ends":       {[]string{"echo", "done"}, func(*manifest.Manifest) {}, "app.exited", "web: done", "container web exited with code 0"},
		"unhealthy":  {[]string{"err", "stuck", ";", "sleep"}, checked(runtimetest.Probe, "exit", "1"), "app.unhealthy", "web: stuck", "did not pass its health check within 20s"},
		"no program": {[]string{"sleep"}, func(m *manifest.Manifest) { m.Containers[0].Command = []string{"/missing"} }, "container.start", "", "its command is not in the image"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				img := w.image(c.script...)
				_, err := n.provision(order(t, alice, provider.Create, app("app", img, host("a.example"), func(m *manifest.Manifest) { m.Containers[0].Health = nil; m.Containers[0].Ports = nil }, c.shape)))
				refused(t, err, status.AppFailed, c.reason)
				var e *status.Error
				errors.As(err, &e)
				if !strings.Contains(e.Detail, c.detail) || c.line != "" && !slices.Contains(e.Log, c.line) {
					t.Errorf("got %q with the log %q, want %q and %q", e.Detail, e.Log, c.detail, c.line)
				}
				n.has()
				v, err := n.Status(t.Context(), alice, "app")
				must(t, err)
				if v.State != provider.StateFailed || !strings.Contains(v.Reason, c.detail) {
					t.Errorf("the pod is %s: %s", v.State, v.Reason)
				}
				r := w.store.records[v.ID]
				if r.Manifest != nil || r.Keys != nil || r.Secrets != nil {
					t.Error("the record of a failed pod still has secrets")
				}
				_, err = n.provision(order(t, alice, provider.Update, app("app", w.image("sleep")), replaces(7)))
				refused(t, err, status.Conflict, "pod.revision")

				// The next create takes its place.
				if got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep")))); got.Revision != 2 {
					t.Errorf("got revision %d", got.Revision)
				}
				n.has("2-0 up")
			})
		})
	}
}

// TestFailedPodsAreForgotten after a day, also when the provider starts again.
func TestFailedPodsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		_, err := n.provision(order(t, alice, provider.Create, app("app", w.image("exit", "1"))))
		refused(t, err, status.AppFailed, "app.exited")
		later(23 * time.Hour)
		n.stop()
		n = w.run()
		later(time.Minute)
		if n.state() != provider.StateFailed {
			t.Errorf("the pod is %q", n.state())
		}
		later(time.Hour)
		if n.state() != "" || len(w.store.records) != 0 {
			t.Errorf("the pod is %q", n.state())
		}
	})
}

// TestEarlyExitIsNotTheEnd is an app that waits for its neighbour by exiting.
func TestEarlyExitIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		m := app("app", w.image("sleep"), func(m *manifest.Manifest) { m.Replicas = manifest.Replicas{Min: 3, Max: 3} })
		c := order(t, alice, provider.Create, m)
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		synctest.Wait()
		// Once each: three exits, but of three replicas.
		for _, i := range must1(w.rt.List(t.Context())) {
			must(t, w.rt.Kill(i.ID, "web", 1))
		}
		must(t, <-done)
		n.has("1-0 up", "1-1 up", "1-2 up")
	})
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestCrashesBackOff starts a container again after 1, 2, 4 ... seconds, and
// from the start again once it was calm for long.
func TestCrashesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		id := provider.InstanceID(string(got.PodID) + "-1-0")
		for i, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			must(t, w.rt.Kill(id, "web", 7))
			synctest.Wait()
			v := must1(n.Status(t.Context(), alice, "app"))
			want := provider.ContainerView{Name: "web", State: "exited", Restarts: i + 1, ExitCode: 7, CID: v.Containers[0].CID, ImageID: v.Containers[0].ImageID}
			want.Reason = "container web exited with code 7; it is started again in " + (wait * time.Second).String()
			if diff := cmp.Diff(want, v.Containers[0]); diff != "" {
				t.Errorf("exit %d:\n%s", i, diff)
			}
			if why := n.board.of(got.PodID).why; why != want.Reason {
				t.Errorf("callers are told %q", why)
			}
			later(wait*time.Second - time.Millisecond)
			n.has("1-0 down")
			later(2 * time.Millisecond)
			n.has("1-0 up")
			if why := n.board.of(got.PodID).why; why != "" {
				t.Errorf("callers are still told %q", why)
			}
		}
		later(11 * time.Minute)
		must(t, w.rt.Kill(id, "web", 7))
		later(1001 * time.Millisecond)
		n.has("1-0 up")
		if n.state() != provider.StateRunning {
			t.Errorf("the pod is %s", n.state())
		}
	})
}

// TestRestartThatFails tries again later.
func TestRestartThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		must(t, w.rt.Kill(provider.InstanceID(string(got.PodID)+"-1-0"), "web", 1))
		synctest.Wait()
		w.rt.Fail("Start", errors.New("no"))
		later(2 * time.Second)
		n.has("1-0 down")
		later(31 * time.Second)
		n.has("1-0 up")
	})
}

// TestHealth takes a pod that fails its check out of traffic, and back.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		// Healthy while the file says so.
		m := app("app", w.image("write", "/v/f", "up", ";", "sleep"), host("a.example"), checked(runtimetest.Probe, "cat", "/v/f"), func(m *manifest.Manifest) {
			m.Volumes = []manifest.Volume{{Name: "v", Kind: manifest.EmptyDir}}
			m.Containers[0].Mounts = []manifest.Mount{{Volume: "v", Path: "/v"}}
		})
		got := n.deploy(order(t, alice, provider.Create, m))
		backends := n.board.of(got.PodID).backends
		if len(backends) != 1 {
			t.Fatalf("got the backends %v", backends)
		}
		var publications int
		n.board.mu.Lock()
		n.board.onPublish = func(provider.PodID, []string) { publications++ }
		n.board.mu.Unlock()

		// One failure is not enough, two in a row are.
		w.rt.Fail("Exec", errors.New("no"))
		later(6 * time.Second)
		later(10 * time.Second)
		if publications != 0 {
			t.Errorf("one failure changed the routes %d times", publications)
		}
		for range 2 {
			w.rt.Fail("Exec", errors.New("no"))
			later(5 * time.Second)
		}
		r := n.board.of(got.PodID)
		if len(r.backends) != 0 || !strings.Contains(r.why, "container web fails its health check") {
			t.Errorf("got the route %+v", r)
		}
		if v := must1(n.Status(t.Context(), alice, "app")); v.State != provider.StateRunning || !strings.Contains(v.Reason, "health check") {
			t.Errorf("the pod is %s: %q", v.State, v.Reason)
		}
		// A dry run does not bring it back.
		n.deploy(order(t, alice, provider.DryRun, m))
		if r := n.board.of(got.PodID); len(r.backends) != 0 {
			t.Errorf("a dry run gave an unhealthy pod its traffic back: %+v", r)
		}
		later(5 * time.Second)
		if r := n.board.of(got.PodID); !slices.Equal(r.backends, backends) {
			t.Errorf("got the route %+v", r)
		}
		if v := must1(n.Status(t.Context(), alice, "app")); v.Reason != "" {
			t.Errorf("the reason is still %q", v.Reason)
		}
	})
}

// TestBlindness has a runtime that does not answer: nothing is stopped, made
// anew or failed.
func TestBlindness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		got := n.deploy(order(t, alice, provider.Create, app("app", img)))
		before := must1(w.rt.List(t.Context()))
		blind := errors.New("no answer")
		w.rt.Fail("List", blind)
		later(31 * time.Second)
		n.has("1-0 up")
		w.rt.Fail("List", blind)
		_, err := n.Status(t.Context(), alice, "app")
		refused(t, err, status.Unavailable, "runtime.silent")
		n.stop()

		// At every look of a start, for a pod that runs and one that was starting.
		for _, state := range []provider.State{provider.StateRunning, provider.StateStarting} {
			for nth := 1; nth <= 5; nth++ {
				r := w.store.records[got.PodID]
				r.State = state
				r.Updated = w.now().Add(-time.Hour)
				w.store.records[got.PodID] = r
				n = w.run(func(c *provider.Config) {
					b := &blinking{Instances: c.Instances, err: blind}
					b.left.Store(int32(nth))
					c.Instances = b
				})
				later(time.Minute)
				if n.state() != provider.StateRunning {
					t.Errorf("blind at look %d of a pod that was %s: it is %s", nth, state, n.state())
				}
				if diff := cmp.Diff(before, must1(w.rt.List(t.Context()))); diff != "" {
					t.Errorf("blind at look %d of a pod that was %s: it was touched:\n%s", nth, state, diff)
				}
				n.stop()
			}
		}
	})
}

// blinking fails one look.
type blinking struct {
	provider.Instances
	// left is how many looks go well before the one that fails.
	left atomic.Int32
	err  error
}

// TestVanished makes an instance again that somebody removed behind our back,
// and sends nobody to an address that is another pod's by then.
func TestVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		id := provider.InstanceID(string(got.PodID) + "-1-0")
		must(t, w.rt.Remove(t.Context(), id, 0))
		open := w.images.gate(w.store.manifest(t, got.PodID).Containers[0].Image)
		later(30*time.Second + 100*time.Millisecond)
		if r := n.board.of(got.PodID); len(r.backends) != 0 {
			t.Errorf("traffic still goes to %v", r.backends)
		}
		open()
		later(time.Minute)
		n.has("1-0 up")
		if r := n.board.of(got.PodID); len(r.backends) != 1 {
			t.Errorf("got the route %+v", r)
		}
	})
}

func (m *memory) manifest(t testing.TB, id provider.PodID) *manifest.Manifest {
	t.Helper()
	out, err := manifest.Unmarshal(m.records[id].Manifest)
	must(t, err)
	return out
}

// TestVolumes outlive revisions and go with the pod, or stay where asked.
func TestVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		persistent := func(m *manifest.Manifest) {
			m.Volumes = []manifest.Volume{{Name: "v", Kind: manifest.Persistent, Bytes: 1 << 20}}
			m.Containers[0].Mounts = []manifest.Mount{{Volume: "v", Path: "/v"}}
		}
		reader := func() *manifest.Manifest { return app("app", w.image("cat", "/v/f", ";", "sleep"), persistent) }
		n.deploy(order(t, alice, provider.Create, app("app", w.image("write", "/v/f", "x", ";", "sleep"), persistent)))
		n.deploy(order(t, alice, provider.Update, reader(), replaces(1)))
		must(t, n.Delete(t.Context(), alice, "app", true))
		n.deploy(order(t, alice, provider.Create, reader()))
		must(t, n.Delete(t.Context(), alice, "app", false))
		_, err := n.provision(order(t, alice, provider.Create, reader()))
		refused(t, err, status.AppFailed, "app.exited")
	})
}

// TestFullDisk cannot store that a pod failed: its publisher is told all the
// same, and the pod does not come up behind its back.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		open := w.images.gate(img)
		c := order(t, alice, provider.Create, app("app", img))
		req, _ := n.sealed(c)
		done := make(chan error)
		go func() {
			_, _, err := n.send(t.Context(), c, req)
			done <- err
		}()
		synctest.Wait()
		full := status.New(status.ResourceExhausted, "store.disk_full", "no space left")
		w.store.failWith(full)
		open()
		refused(t, <-done, status.ResourceExhausted, "store.disk_full")
		later(time.Minute)
		if got := w.instances(); len(got) != 0 {
			t.Errorf("it runs: %v", got)
		}
		w.store.failWith(nil)
		later(5 * time.Minute)
		if n.state() != provider.StateFailed {
			t.Errorf("the pod is %s", n.state())
		}
		n.has()
	})
}
