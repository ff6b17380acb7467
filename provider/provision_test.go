package provider_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/runtimetest"
)

func TestCreateUpdateDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("echo", "one", ";", "sleep")

		c := order(t, alice, provider.Create, app("app", img, host("a.example")))
		req, confirm := n.sealed(c)
		got, stages, err := n.send(t.Context(), c, req)
		must(t, err)
		want := provider.Provisioned{
			PodID: provider.PodIDOf(alice, "app"), Revision: 1, Confirm: confirm, ManifestDigest: manifest.DigestOf(c.order.Manifest), Release: got.Release,
			Endpoints: []provider.Endpoint{{Container: "web", Target: 8080, Protocol: manifest.HTTP, Host: "a.example", URL: "http://a.example/"}},
		}
		if len(got.Receipt) == 0 {
			t.Error("there is no receipt")
		}
		want.Receipt = got.Receipt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the answer differs:\n%s", diff)
		}
		if len(stages) == 0 || stages[0] != provider.StageAccepted || stages[len(stages)-1] != provider.StageHealthy || !slices.IsSorted(stages) {
			t.Errorf("got the stages %v", stages)
		}
		n.has("1-0 up")
		if r := n.board.of(got.PodID); len(r.backends) != 1 {
			t.Errorf("got the route %+v", r)
		}
		if want := []provider.State{"accepted", "fetching", "starting", "running"}; !slices.Equal(w.store.states, want) {
			t.Errorf("stored the states %v, want %v", w.store.states, want)
		}

		got = n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", "two", "", ";", "sleep"), host("b.example")), replaces(1)))
		if got.Revision != 2 || got.Endpoints[0].Host != "b.example" {
			t.Errorf("got %+v", got)
		}
		synctest.Wait()
		n.has("2-0 up")
		if _, held := n.board.hosts["a.example"]; held {
			t.Error("the name of the old revision is still held")
		}

		must(t, n.Delete(t.Context(), alice, "app", false))
		n.has()
		if len(w.store.records) != 0 {
			t.Error("the record is still there")
		}
		refused(t, n.Delete(t.Context(), alice, "app", false), status.NotFound, "pod.unknown")
	})
}

// TestRefusals are orders that cannot be taken: nothing is stored, made,
// charged or held, and the reason is precise.
func TestRefusals(t *testing.T) {
	type test struct {
		name   string
		call   func(w *world) call
		code   status.Code
		reason string
	}
	secret := func(m *manifest.Manifest) {
		m.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret}}
		m.Containers[0].Mounts = []manifest.Mount{{Volume: "s", Path: "/s", ReadOnly: true}}
	}
	create := func(change func(*call), shape ...func(*manifest.Manifest)) func(*world) call {
		return func(w *world) call {
			return order(w.t, alice, provider.Create, app("app", w.image("sleep"), shape...), change)
		}
	}
	keyed := func(m *manifest.Manifest) { m.Containers[0].Image.KeyID = "k1" }
	none := func(*call) {}
	for _, c := range []test{
		{"foreign publisher", create(func(c *call) { c.order.PublisherPeer = peerOf(bob) }), status.PermissionDenied, "provision.publisher"},
		{"no publisher", create(func(c *call) { c.order.PublisherPeer = nil }), status.PermissionDenied, "provision.publisher"},
		{"attested for another purpose", create(func(c *call) { c.purpose = attest.PurposeOffer }), status.Untrusted, "provision.purpose"},
		{"missing key", create(none, keyed), status.InvalidArgument, "provision.parts"},
		{"empty key", create(func(c *call) { c.order.Keys = map[string][]byte{"k1": {}} }, keyed), status.InvalidArgument, "provision.parts"},
		{"key of no image", create(func(c *call) { c.order.Keys = map[string][]byte{"k1": {1}} }), status.InvalidArgument, "provision.parts"},
		{"missing secret", create(none, secret), status.InvalidArgument, "provision.parts"},
		{"empty secret", create(func(c *call) { c.order.Secrets = map[string]map[string][]byte{"s": {}} }, secret), status.InvalidArgument, "provision.parts"},
		{"secret of no volume", create(func(c *call) { c.order.Secrets = map[string]map[string][]byte{"s": {"f": {1}}} }), status.InvalidArgument, "provision.parts"},
		{"no manifest", create(func(c *call) { c.order.Manifest = nil }), status.InvalidArgument, "manifest.invalid"},
		{"manifest that is not canonical", create(func(c *call) { c.order.Manifest = append(c.order.Manifest, 0x7a, 0) }), status.InvalidArgument, "manifest.not_canonical"},
		{"policy with an unknown field", create(func(c *call) { c.order.Policy = []byte("version: 1\ncolour: red\n") }), status.InvalidArgument, policy.ReasonInvalid},
		{"policy that wants hardware", create(func(c *call) { c.order.Policy = policy.Builtin().Marshal() }), status.Untrusted, ""},
		{"unknown payment", create(func(c *call) { c.order.Payment.Scheme = "gold" }), status.InvalidArgument, "payment.invalid"},
		{"update of nothing", func(w *world) call {
			return order(w.t, alice, provider.Update, app("app", w.image("sleep")), replaces(1))
		}, status.NotFound, "pod.unknown"},
		{"more than there is", create(none, func(m *manifest.Manifest) { m.Containers[0].Resources.CPUMillis = 2000 }), status.ResourceExhausted, "capacity.cpu"},
		{"dry run of more than there is", func(w *world) call {
			return order(w.t, alice, provider.DryRun, app("app", w.image("sleep"), host("a.example"), func(m *manifest.Manifest) { m.Containers[0].Resources.CPUMillis = 2000 }))
		}, status.ResourceExhausted, "capacity.cpu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				call := c.call(w)
				_, err := n.provision(call)
				if c.reason == "" && status.CodeOf(err) == c.code {
					// The reason is the policy's.
				} else {
					refused(t, err, c.code, c.reason)
				}
				n.has()
				if len(w.store.states) != 0 || n.state() != "" {
					t.Errorf("something was stored: %v", w.store.states)
				}
			})
		})
	}
}

// TestAllFaultsAtOnce shows each part that does not fit in one answer, and no
// byte of a key or secret.
func TestAllFaultsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		c := order(t, alice, provider.Create, app("app", w.image("sleep"), func(m *manifest.Manifest) { m.Containers[0].Image.KeyID = "k1" }), func(c *call) {
			c.order.Keys = map[string][]byte{"k2": []byte("CANARY")}
			c.order.Secrets = map[string]map[string][]byte{"s": {"f": []byte("CANARY")}}
		})
		_, err := n.provision(c)
		var e *status.Error
		if !errors.As(err, &e) || len(e.Faults) != 3 {
			t.Fatalf("got %v, want three faults", err)
		}
		for _, f := range e.Faults {
			if f.Got == "CANARY" || f.Want == "CANARY" {
				t.Errorf("a fault shows a secret: %v", f)
			}
		}
	})
}

func TestPaidProviderRefusesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prices, err := offer.ParsePriceList([]byte("asset: USD\nprices: {cpu: 1/hour, memory: 1/hour}\npayment: {schemes: [evm-channel], address: \"eip155:1:0x00000000000000000000000000000000000000aa\"}\n"))
		must(t, err)
		w := newWorld(t)
		n := w.run(func(c *provider.Config) { c.Prices = prices })
		_, err = n.provision(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		refused(t, err, status.PermissionDenied, "payment.required")
		n.has()
	})
}

// TestUnsealable are messages that are not for this attestation or request.
func TestUnsealable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		for name, spoil := range map[string]func(*provider.ProvisionRequest){
			"flipped byte":  func(r *provider.ProvisionRequest) { r.Ciphertext[0] ^= 1 },
			"no ciphertext": func(r *provider.ProvisionRequest) { r.Ciphertext = nil },
			"other key":     func(r *provider.ProvisionRequest) { r.Enc[0] ^= 1 },
			"other request": func(r *provider.ProvisionRequest) { r.RequestID[15]++ },
			"other claims":  func(r *provider.ProvisionRequest) { _, r.ClaimsDigest = n.attest(alice, attest.PurposeProvision) },
		} {
			c := order(t, alice, provider.Create, app("app", w.image("sleep")))
			req, _ := n.sealed(c)
			spoil(&req)
			if _, _, err := n.send(t.Context(), c, req); status.ReasonOf(err) != "provision.unsealable" {
				t.Errorf("%s: got %v", name, err)
			}
		}
		n.has()
	})
}

// TestNames are orders that meet a pod of the same name.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))

		_, err := n.provision(order(t, alice, provider.Create, app("app", img)))
		refused(t, err, status.Conflict, "pod.exists")
		for _, revision := range []uint64{0, 2} {
			_, err = n.provision(order(t, alice, provider.Update, app("app", img), replaces(revision)))
			refused(t, err, status.Conflict, "pod.revision")
		}
		// The same name is another pod for another publisher, but a host is one.
		n.deploy(order(t, bob, provider.Create, app("app", img)))
		_, err = n.provision(order(t, bob, provider.Create, app("other", img, host("a.example"))))
		refused(t, err, status.Conflict, "ingress.taken")
		_, err = n.provision(order(t, bob, provider.Update, app("app", img, host("a.example")), replaces(1)))
		refused(t, err, status.Conflict, "ingress.taken")

		if r := n.board.of(provider.PodIDOf(alice, "app")); len(r.backends) != 1 {
			t.Errorf("alice's route is now %+v", r)
		}
		if got := len(w.instances()); got != 2 {
			t.Errorf("%d instances, want 2", got)
		}
		// What is another publisher's does not exist.
		refused(t, n.Delete(t.Context(), "carol", "app", false), status.NotFound, "pod.unknown")
		_, err = n.Status(t.Context(), "carol", "app")
		refused(t, err, status.NotFound, "pod.unknown")
		refused(t, n.ReadLogs(t.Context(), "carol", "app", provider.LogQuery{}, nil), status.NotFound, "pod.unknown")
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		got := n.deploy(order(t, alice, provider.DryRun, app("app", img, host("a.example"))))
		if got.Revision != 0 || got.PodID != provider.PodIDOf(alice, "app") {
			t.Errorf("got %+v", got)
		}
		n.has()
		if len(w.store.states) != 0 || n.state() != "" {
			t.Error("a dry run was stored")
		}
		// Beside a running pod, whose names and traffic stay.
		n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		before := n.board.of(got.PodID)
		n.deploy(order(t, alice, provider.DryRun, app("app", img, host("b.example"))))
		if diff := cmp.Diff(before.backends, n.board.of(got.PodID).backends); diff != "" {
			t.Errorf("the backends changed:\n%s", diff)
		}
		if _, held := n.board.hosts["b.example"]; held {
			t.Error("the dry run holds a name")
		}
		if n.board.hosts["a.example"] != got.PodID {
			t.Error("the pod lost its name")
		}
		n.has("1-0 up")
		// A look that fails is no reason to take traffic away.
		w.rt.Fail("List", errors.New("no answer"))
		n.deploy(order(t, alice, provider.DryRun, app("app", img, host("b.example"))))
		if r := n.board.of(got.PodID); len(r.backends) != 1 {
			t.Errorf("got the route %+v", r)
		}
	})
}

// TestUpdateThatCannotWork leaves the running revision alone and nothing behind.
func TestUpdateThatCannotWork(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world, next manifest.Image, m *manifest.Manifest)
		code  status.Code
	}{
		"image is nowhere": {func(w *world, next manifest.Image, _ *manifest.Manifest) { delete(w.images.stock, next.CID) }, status.Unavailable},
		"damaged layer": {func(w *world, next manifest.Image, _ *manifest.Manifest) {
			w.images.stock[next.CID].Layers[0] = runtimetest.Layer("application/vnd.oci.image.layer.v1.tar", []byte("damaged"), nil)
		}, status.Untrusted},
		"runtime fails": {func(w *world, _ manifest.Image, _ *manifest.Manifest) {
			w.rt.Fail("Create", status.New(status.ResourceExhausted, "disk.full", "no space left"))
		}, status.ResourceExhausted},
		"second container's image": {func(w *world, next manifest.Image, m *manifest.Manifest) {
			second := m.Containers[0]
			second.Name, second.Ports, second.Image = "second", nil, w.image("echo", "", "", ";", "sleep")
			m.Containers = append(m.Containers, second)
			delete(w.images.stock, second.Image.CID)
		}, status.Unavailable},
		"capacity": {func(_ *world, _ manifest.Image, m *manifest.Manifest) { m.Containers[0].Resources.CPUMillis = 2000 }, status.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := w.run()
				got := n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"), host("a.example"))))
				before := n.board.of(got.PodID)
				next := w.image("echo", ";", "sleep")
				m := app("app", next, host("b.example"))
				c.spoil(w, next, m)
				_, err := n.provision(order(t, alice, provider.Update, m, replaces(1)))
				if status.CodeOf(err) != c.code {
					t.Errorf("got %v, want %v", err, c.code)
				}
				n.has("1-0 up")
				if n.state() != provider.StateRunning {
					t.Errorf("the pod is %s", n.state())
				}
				after := n.board.of(got.PodID)
				if !slices.Equal(before.backends, after.backends) || after.endpoints[0].Host != "a.example" || len(n.board.hosts) != 1 {
					t.Errorf("the route was %+v and is %+v; held: %v", before, after, n.board.hosts)
				}
				if n.stock.charged[got.PodID] != 100 {
					t.Errorf("charged %d", n.stock.charged[got.PodID])
				}
				must(t, n.Delete(t.Context(), alice, "app", false))
				n.has()
			})
		})
	}
}

// TestUpdateWhosePublisherLeaves is an update whose stream breaks while it is prepared.
func TestUpdateWhosePublisherLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep"))))
		next := w.image("echo", ";", "sleep")
		w.images.gate(next)
		c := order(t, alice, provider.Update, app("app", next), replaces(1))
		req, _ := n.sealed(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, _, err := n.send(ctx, c, req)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		// Who left does not wait for what is cleaned up behind.
		synctest.Wait()
		n.has("1-0 up")
	})
}

// TestCreateWhosePublisherLeaves goes on without it.
func TestCreateWhosePublisherLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		open := w.images.gate(img)
		c := order(t, alice, provider.Create, app("app", img))
		req, _ := n.sealed(c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := n.send(ctx, c, req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n.state() != provider.StateFetching {
			t.Errorf("the pod is %s", n.state())
		}
		open()
		later(time.Minute)
		if n.state() != provider.StateRunning {
			t.Errorf("the pod is %s", n.state())
		}
		n.has("1-0 up")
	})
}

func TestPodCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		n.stock.total = 1 << 40
		img := w.image("sleep")
		// Dry runs leave nothing that counts.
		for i := range 70 {
			n.deploy(order(t, alice, provider.DryRun, app("dry-"+string(rune('a'+i/26))+string(rune('a'+i%26)), img)))
		}
		for i := range 64 {
			m := app("app-"+string(rune('a'+i/26))+string(rune('a'+i%26)), img)
			n.deploy(order(t, alice, provider.Create, m))
		}
		for _, op := range []provider.Operation{provider.Create, provider.DryRun} {
			_, err := n.provision(order(t, alice, op, app("one-more", img)))
			refused(t, err, status.ResourceExhausted, "capacity.pods")
		}
		n.deploy(order(t, bob, provider.Create, app("app", img)))
	})
}

// TestKeysAndSecretsArrive is an encrypted image and a secret volume, the only
// test here with a real one of either.
func TestKeysAndSecretsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img, key := runtimetest.Build(t, runtimetest.Image{})
		pinned := w.stock(img)
		pinned.KeyID = "k1"
		m := app("app", pinned, func(m *manifest.Manifest) {
			m.Containers[0].Command = []string{runtimetest.Probe, "cat", "/s/f", ";", "sleep"}
			m.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret}}
			m.Containers[0].Mounts = []manifest.Mount{{Volume: "s", Path: "/s", ReadOnly: true}}
		})
		parts := func(key []byte) func(*call) {
			return func(c *call) {
				c.order.Keys = map[string][]byte{"k1": key}
				c.order.Secrets = map[string]map[string][]byte{"s": {"f": []byte("the secret")}}
			}
		}
		_, other := runtimetest.NewKey(t)
		_, err := n.provision(order(t, alice, provider.Create, m, parts(other)))
		refused(t, err, status.Untrusted, "image.key")
		n.deploy(order(t, alice, provider.Create, m, parts(key)))
		var lines []string
		must(t, n.ReadLogs(t.Context(), alice, "app", provider.LogQuery{}, func(_ uint32, l provider.LogLine) error {
			lines = append(lines, string(l.Text))
			return nil
		}))
		if !slices.Equal(lines, []string{"the secret"}) {
			t.Errorf("the app read %q", lines)
		}
		refused(t, n.ReadLogs(t.Context(), alice, "app", provider.LogQuery{Container: "none"}, nil), status.NotFound, "pod.container")
	})
}
