package provider_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// since are the kinds of the events after the first n, without those of setting up.
func (s *scroll) since(n int) []podlog.Type { return s.types()[n:] }

// start is what every process of a provider logs before it serves.
var start = []podlog.Type{podlog.TypeAgentStart, podlog.TypeConfig, podlog.TypeReady}

// Every step of a pod's life is in the log, in the order in which it is announced.
func TestLifeIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		if got := w.log.types(); !slices.Equal(got, start) {
			t.Fatalf("got %v", got)
		}
		keyed := func(c *call) { c.order.Secrets = map[string]map[string][]byte{"s": {"f": []byte("x")}} }
		secret := func(m *manifest.Manifest) { m.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret}} }
		img := w.image("sleep")
		n.deploy(order(t, alice, provider.Create, app("app", img, secret), keyed))
		want := []podlog.Type{podlog.TypePodCreate, podlog.TypeKeyRelease, podlog.TypeImageExec, podlog.TypePodStart}
		if diff := cmp.Diff(want, w.log.since(3)); diff != "" {
			t.Error(diff)
		}
		e := w.log.events[5].(*podlog.ImageExec)
		pod := provider.PodIDOf(alice, "app")
		if e.ImageID.String() != img.ImageID || e.Instance != string(pod)+"-1-0" || e.CID != img.CID || e.Args == podlog.ListDigest(nil) {
			t.Errorf("got %+v", e)
		}
		// An update is announced, made and started while the old revision runs, which
		// ends when the new one serves.
		length := len(w.log.types())
		n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1)))
		synctest.Wait()
		want = []podlog.Type{podlog.TypePodCreate, podlog.TypeImageExec, podlog.TypePodStart, podlog.TypePodStop}
		if diff := cmp.Diff(want, w.log.since(length)); diff != "" {
			t.Error(diff)
		}
		// A restart in the same boot has nothing to say of what runs.
		length = len(w.log.types())
		n.stop()
		n = w.run()
		later(time.Minute)
		if diff := cmp.Diff(start, w.log.since(length)); diff != "" {
			t.Error(diff)
		}
		n.has("2-0 up")
		must(t, n.Service.Delete(t.Context(), alice, "app", false))
		if diff := cmp.Diff([]podlog.Type{podlog.TypePodStop}, w.log.since(length+3)); diff != "" {
			t.Error(diff)
		}
		must(t, podlog.CheckBoundary(w.log.records, podlog.Rules{Restarts: 1}))
	})
}

// A pod does not start without being in the log, and says why.
func TestNothingStartsUnlogged(t *testing.T) {
	gone := status.New(status.Unavailable, "podlog.extend", "the register of the pod log does not answer")
	for _, kind := range []podlog.Type{podlog.TypePodCreate, podlog.TypeImageExec, podlog.TypePodStart} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				w.log.failOn(kind, gone)
				_, err := n.provision(order(t, alice, provider.Create, app("app", w.image("sleep"))))
				refused(t, err, status.Unavailable, "podlog.extend")
				later(10 * time.Minute)
				for _, i := range w.instances() {
					t.Errorf("%s is here", i)
				}
				// It mends, and the publisher comes again.
				w.log.failOn("", nil)
				n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
			})
		})
	}
}

// An update that cannot be logged leaves the old revision running.
func TestUnloggedUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		w.log.failOn(podlog.TypeImageExec, status.New(status.Unavailable, "podlog.extend", "the register does not answer"))
		_, err := n.provision(order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(1)))
		refused(t, err, status.Unavailable, "podlog.extend")
		later(time.Minute)
		n.has("1-0 up")
		// The end of a pod waits for no register.
		w.log.failOn(podlog.TypePodStop, status.New(status.ResourceExhausted, "podlog.full", "the pod log is full"))
		must(t, n.Service.Delete(t.Context(), alice, "app", false))
		n.has()
	})
}

// What the log of this boot does not know is made again before it may run.
func TestUnknownToTheLogIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		before := must1(w.rt.List(t.Context()))[0].IP
		n.stop()
		w.reboot(t)
		n = w.run()
		later(time.Minute)
		want := append(slices.Clone(start), podlog.TypePodCreate, podlog.TypeImageExec, podlog.TypePodStart)
		if diff := cmp.Diff(want, w.log.types()); diff != "" {
			t.Error(diff)
		}
		n.has("1-0 up")
		if after := must1(w.rt.List(t.Context()))[0].IP; after == before {
			t.Error("an unmeasured instance was left running")
		}
		if n.state() != provider.StateRunning {
			t.Errorf("the pod is %s", n.state())
		}
	})
}

// Claims name the log as it stands, and the pod that was asked about.
func TestClaimsOfThePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		n.deploy(order(t, alice, provider.Create, app("app", img)))
		n.deploy(order(t, bob, provider.Create, app("app", img)))
		mine, his := provider.PodIDOf(alice, "app"), provider.PodIDOf(bob, "app")
		ask := func(pod provider.PodID, log *provider.LogRequest) (*provider.Attestation, error) {
			ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
			return n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch, Pod: pod, Log: log}, nil)
		}
		got, err := ask(mine, &provider.LogRequest{})
		must(t, err)
		c, err := attest.DecodeClaims(got.Claims)
		must(t, err)
		head, err := podlog.Replay(got.Log.Records, podlog.Head{})
		must(t, err)
		if c.Register != "none" || c.PodLogLength != head.Length || string(c.PodLogHead) != string(head.SHA384[:]) || head.Length != 9 {
			t.Errorf("got %q, %d, %x", c.Register, c.PodLogLength, c.PodLogHead)
		}
		want := &attest.PodClaims{PodID: string(mine), ManifestDigest: c.Pod.ManifestDigest, Images: []attest.ImageClaims{{Container: "web", CID: img.CID, ImageID: img.ImageID}}}
		if diff := cmp.Diff(want, c.Pod); diff != "" {
			t.Error(diff)
		}
		for _, o := range got.Log.Openings {
			e, err := podlog.Open(o.Record, o.Opening)
			must(t, err)
			if e, ok := e.(*podlog.PodCreate); ok && e.PodID != string(mine) {
				t.Errorf("another tenant's event is opened: %+v", e)
			}
		}
		if len(got.Log.Openings) != 6 {
			t.Errorf("got %d openings", len(got.Log.Openings))
		}
		part, err := ask(mine, &provider.LogRequest{From: 4})
		must(t, err)
		if len(part.Log.Records) != 5 || part.Log.Records[0].Seq != 4 || part.Log.Openings[0].Record.Seq < 4 {
			t.Errorf("from 4: got %+v", part.Log)
		}
		// Without a pod the provider's own events are opened alone, and without
		// asking there is no log.
		bare, err := ask("", &provider.LogRequest{})
		must(t, err)
		for _, o := range bare.Log.Openings {
			if kind := o.Record.Type; kind != podlog.TypeAgentStart && kind != podlog.TypeConfig && kind != podlog.TypeReady {
				t.Errorf("a stranger is shown what a %s is about", kind)
			}
		}
		if len(bare.Log.Openings) != 3 || len(bare.Log.Records) != 9 {
			t.Errorf("got %d openings, %d records", len(bare.Log.Openings), len(bare.Log.Records))
		}
		none, err := ask("", nil)
		must(t, err)
		if c, err = attest.DecodeClaims(none.Claims); err != nil || none.Log != nil || c.Pod != nil || c.PodLogLength != 9 {
			t.Errorf("got %+v, %v", none.Log, err)
		}
		_, err = ask(mine, &provider.LogRequest{From: 10})
		refused(t, err, status.InvalidArgument, "attest.log")
		// Foreign, unknown and malformed are one answer.
		for _, id := range []provider.PodID{his, "aaaaaaaaaaaaaaaaaaaaaaaaaa", "..", provider.PodID(make([]byte, 1000))} {
			_, err = ask(id, &provider.LogRequest{})
			refused(t, err, status.NotFound, "pod.unknown")
		}
	})
}

// A runtime that reports another image than the manifest's starts nothing.
func TestRuntimeReportsAnotherImage(t *testing.T) {
	for name, lie := range map[string]func(*provider.Created){
		"another image":   func(c *provider.Created) { c.ImageIDs["web"] = manifest.DigestOf([]byte("evil")).String() },
		"no image":        func(c *provider.Created) { c.ImageIDs = nil },
		"nothing to exec": func(c *provider.Created) { c.Execs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run(func(c *provider.Config) { c.Runtime = lying{c.Runtime, lie} })
				_, err := n.provision(order(t, alice, provider.Create, app("app", w.image("sleep"))))
				if err == nil {
					t.Fatal("it was provisioned")
				}
				if slices.Contains(w.log.types(), podlog.TypePodStart) || slices.Contains(w.log.types(), podlog.TypeImageExec) {
					t.Errorf("logged %v", w.log.types())
				}
				n.has()
			})
		})
	}
}

// lying is a runtime that reports something else than what it made.
type lying struct {
	provider.Runtime
	lie func(*provider.Created)
}

func (l lying) Create(ctx context.Context, s provider.InstanceSpec, report func(provider.Progress)) (provider.Created, error) {
	made, err := l.Runtime.Create(ctx, s, report)
	l.lie(&made)
	return made, err
}
