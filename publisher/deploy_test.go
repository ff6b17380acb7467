package publisher_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
)

func TestDeploy(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	req := w.request(to(p))
	must(t, os.WriteFile(filepath.Join(req.Dir, "password"), []byte("SECRET"), 0o600))
	req.Manifest.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret, Source: "password"}}
	req.Manifest.Containers[0].Mounts = []manifest.Mount{{Volume: "s", Path: "/s", ReadOnly: true}}
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)

	// Nothing is granted, encoded or sent before the verdict, and what is sent
	// was noted before.
	if got, want := w.done("grant", "encode", "save", "provision", "forget"), []string{
		"grant p", "encode", "save p pending", "provision p 1", "save p settled",
	}; !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	if slices.Index(w.did, "attest p") > slices.Index(w.did, "grant p") {
		t.Errorf("granted before attesting: %q", w.did)
	}
	o := w.orders[0]
	m, err := manifest.Unmarshal(o.Manifest)
	must(t, err)
	if c := m.Containers[0].Image; c.CID != rootCID || c.KeyID != "k1" || c.Ref != "" {
		t.Errorf("the manifest pins %+v", c)
	}
	if strings.Contains(string(o.Manifest), "SECRET") || strings.Contains(string(o.Manifest), "password") {
		t.Error("the manifest has a secret or where it came from")
	}
	o.Manifest = nil
	want := publisher.Order{
		Keys: map[string][]byte{"k1": []byte("the key")}, Secrets: map[string]map[string][]byte{"s": {"password": []byte("SECRET")}},
		Policy: []byte("the policy"), OfferID: "offer-p", ReservationID: "reservation-p", Payment: offer.Payment{Scheme: "none"}, PublisherPeer: me,
	}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("the order differs:\n%s", diff)
	}
	if !d.Verdict.Affirmed || d.App.Pending != nil || d.App.Revision != 1 || d.PricePerHour != "1" || d.ManifestDigest != manifest.DigestOf(w.orders[0].Manifest) {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(d.App, w.apps["app@p"]); diff != "" {
		t.Errorf("what is remembered differs:\n%s", diff)
	}
	var steps []string
	for _, e := range w.events {
		if e.Event != "resolve" && e.Event != "seal" && !slices.Contains(steps, e.Event) {
			steps = append(steps, e.Event)
		}
	}
	if want := []string{"attest", "verdict", "publish", "quote", "provision"}; !slices.Equal(steps, want) {
		t.Errorf("reported %q, want %q", steps, want)
	}
	if req.Manifest.Containers[0].Image.CID != "" {
		t.Error("the caller's manifest was changed")
	}
}

// TestNothingIsSent is every reason not to trust a provider, or not to want
// its offer: no order is encoded, nothing granted, nothing noted.
func TestNothingIsSent(t *testing.T) {
	flip := func(b []byte) []byte { b = slices.Clone(b); b[len(b)-1] ^= 1; return b }
	for name, c := range map[string]struct {
		spoil  func(w *world, p *fake)
		policy func(w *world) *policy.Policy
		code   status.Code
		reason string
	}{
		"built-in policy": {policy: func(*world) *policy.Policy { return policy.Builtin() }, code: status.Untrusted},
		"zero policy":     {policy: func(*world) *policy.Policy { return &policy.Policy{} }, code: status.Untrusted},
		"another machine": {spoil: func(_ *world, p *fake) { p.device = other }, code: status.Untrusted},
		"another program": {spoil: func(_ *world, p *fake) { p.device = changed }, code: status.Untrusted, reason: "attest.denied"},
		"relayed evidence": {spoil: func(w *world, p *fake) {
			p.relays = w.provider("q")
		}, code: status.Untrusted, reason: "attest.peer_mismatch"},
		"another nonce":    {spoil: func(_ *world, p *fake) { p.claims = func(c *attest.Claims) { c.Nonce = flip(c.Nonce) } }, code: status.Untrusted},
		"another verifier": {spoil: func(_ *world, p *fake) { p.claims = func(c *attest.Claims) { c.VerifierPeer = peerID('z') } }, code: status.Untrusted},
		"another purpose":  {spoil: func(_ *world, p *fake) { p.claims = func(c *attest.Claims) { c.Purpose = attest.PurposeOffer } }, code: status.Untrusted},
		"expired": {spoil: func(_ *world, p *fake) {
			p.claims = func(c *attest.Claims) { c.ExpiresAt = c.IssuedAt.Add(-time.Second) }
		}, code: status.Untrusted},
		"no offer":          {spoil: func(_ *world, p *fake) { p.signed = func(s *offer.Signed) { *s = offer.Signed{} } }, code: status.Untrusted, reason: "offer.unbound"},
		"unbound offer":     {spoil: func(_ *world, p *fake) { p.claims = func(c *attest.Claims) { c.OfferDigest = flip(c.OfferDigest) } }, code: status.Untrusted, reason: "offer.unbound"},
		"foreign signature": {spoil: func(_ *world, p *fake) { p.signed = func(s *offer.Signed) { s.Signature = flip(s.Signature) } }, code: status.Untrusted, reason: "offer.signature"},
		"offer for another request": {spoil: func(_ *world, p *fake) {
			p.offer = func(o *offer.Offer) { o.RequestDigest[0] ^= 1 }
		}, code: status.Untrusted, reason: "offer.mismatch"},
		"offer for another publisher": {spoil: func(_ *world, p *fake) {
			p.offer = func(o *offer.Offer) { o.Publisher = peerID('z') }
		}, code: status.Untrusted, reason: "offer.mismatch"},
		"offer of another provider": {spoil: func(_ *world, p *fake) {
			p.offer = func(o *offer.Offer) { o.Provider = peerID('z') }
		}, code: status.Untrusted, reason: "offer.mismatch"},
		"offer that has ended": {spoil: func(w *world, p *fake) {
			p.offer = func(o *offer.Offer) { o.NotAfter = w.now().Add(-time.Minute).Truncate(time.Millisecond) }
		}, code: status.Unavailable, reason: "offer.expired"},
		"short": {spoil: func(_ *world, p *fake) { p.short = true }, code: status.ResourceExhausted, reason: "capacity.cpu"},
		"dear": {policy: func(w *world) *policy.Policy {
			pol := w.policy()
			pol.Offer = &policy.Offer{MaxPricePerHour: "0.5", Asset: "USD"}
			return pol
		}, code: status.Untrusted, reason: "offer.price"},
		"paid in something else": {policy: func(w *world) *policy.Policy {
			pol := w.policy()
			pol.Offer = &policy.Offer{MaxPricePerHour: "5", Asset: "EUR"}
			return pol
		}, code: status.Untrusted, reason: "offer.price"},
		"unreachable": {spoil: func(_ *world, p *fake) { p.down = true }, code: status.Unavailable, reason: "peer.unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p")
			if c.spoil != nil {
				c.spoil(w, p)
			}
			req := w.request(to(p))
			if c.policy != nil {
				req.Policy = c.policy(w)
			}
			_, err := w.service().Deploy(t.Context(), req)
			if c.reason != "" {
				refused(t, err, c.code, c.reason)
			} else if status.CodeOf(err) != c.code {
				t.Errorf("got %v, want %v", err, c.code)
			}
			if did := w.done("encode", "grant", "provision", "save", "forget"); len(did) > 0 {
				t.Errorf("did %q all the same", did)
			}
		})
	}
}

func TestMissingImageAndSecrets(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	_, err := w.service().Deploy(t.Context(), w.request(to(p), func(r *publisher.DeployRequest) { r.Manifest.Containers[0].Image.Ref = "oci:missing" }))
	refused(t, err, status.NotFound, "image.missing")
	if did := w.done("encode", "grant", "publish", "provision"); len(did) > 0 {
		t.Errorf("did %q all the same", did)
	}
	w = newWorld(t)
	_, err = w.service().Deploy(t.Context(), w.request(func(r *publisher.DeployRequest) {
		r.Manifest.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret, Source: "nowhere"}}
	}))
	refused(t, err, status.InvalidArgument, "manifest.secrets")
	if len(w.did) > 0 {
		t.Errorf("did %q before it read the secrets", w.did)
	}
}

// TestAnswersThatCannotBe are of somebody who holds no key, or runs something else.
func TestAnswersThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		result func(*publisher.Provisioned)
		reason string
	}{
		"wrong confirmation": {func(r *publisher.Provisioned) { r.Confirm[0] ^= 1 }, "provision.unconfirmed"},
		"no confirmation":    {func(r *publisher.Provisioned) { r.Confirm = nil }, "provision.unconfirmed"},
		"another manifest":   {func(r *publisher.Provisioned) { r.ManifestDigest[0] ^= 1 }, "provision.digest"},
		"no manifest":        {func(r *publisher.Provisioned) { r.ManifestDigest = nil }, "provision.digest"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", func(f *fake) { f.result = c.result })
			_, err := w.service().Deploy(t.Context(), w.request(to(p)))
			refused(t, err, status.Untrusted, c.reason)
			// What came of it is not known.
			if w.apps["app@p"].Pending == nil {
				t.Errorf("remembered %+v", w.apps)
			}
		})
	}
}

// TestNextProvider goes from the cheapest to the dearest while one refuses for
// lack of room, and forgets those that refused.
func TestNextProvider(t *testing.T) {
	full := status.New(status.ResourceExhausted, "capacity.cpu", "not enough cpu")
	w := newWorld(t)
	w.provider("dear", func(f *fake) { f.price = "10" })
	w.provider("cheap", func(f *fake) { f.price = "0.5"; f.refuse = full })
	w.provider("middle", func(f *fake) { f.price = "9.5" })
	w.provider("bad", func(f *fake) { f.price = "0"; f.device = other })
	w.provider("short", func(f *fake) { f.price = "0.1"; f.short = true })
	w.provider("down", func(f *fake) { f.down = true })
	d, err := w.service().Deploy(t.Context(), w.request())
	must(t, err)
	if d.App.Provider.ID != "middle" {
		t.Errorf("deployed to %s", d.App.Provider.ID)
	}
	if got, want := w.done("grant", "provision", "save", "forget"), []string{
		"grant cheap", "save cheap pending", "provision cheap 1", "forget cheap",
		"grant middle", "save middle pending", "provision middle 1", "save middle settled",
	}; !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	if len(w.apps) != 1 {
		t.Errorf("remembered %v", w.apps)
	}
	// Only the ones that are asked to take it reserve anything.
	if got, want := w.done("quote"), []string{"quote cheap reserve=true", "quote middle reserve=true"}; !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

// TestNoNextProvider is what the next provider would not mend, or what may
// still come up at the first.
func TestNoNextProvider(t *testing.T) {
	failed := func(f *fake) { f.pods["app"] = publisher.PodStatus{Name: "app", Revision: 1, State: "failed"} }
	for name, c := range map[string]struct {
		refuse error
		after  func(*fake)
		// remembered is what is known of the app at the first provider.
		remembered string
	}{
		"the app failed": {
			(&status.Error{Code: status.AppFailed, Reason: "app.exited", Detail: "it exited", Log: []string{"web: last line"}}), failed, "settled",
		},
		"not allowed":  {status.New(status.PermissionDenied, "payment.required", "pay"), nil, ""},
		"conflict":     {status.New(status.Conflict, "ingress.taken", "taken"), nil, ""},
		"broken image": {status.New(status.Untrusted, "image.id", "another image"), failed, ""},
		"lost": {status.New(status.Unavailable, "peer.lost", "the connection broke"), func(f *fake) {
			f.pods["app"] = publisher.PodStatus{Name: "app", Revision: 1, State: "fetching"}
		}, "pending"},
		"lost for good": {status.New(status.Unavailable, "peer.lost", "the connection broke"), func(f *fake) { f.lost = true }, "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.provider("first", func(f *fake) {
				f.refuse = c.refuse
				// The pod is there once the order is.
				f.price = "0.5"
			})
			w.provider("second")
			w.Config.Providers = providersWith{w, func(id publisher.ProviderID) {
				if c.after != nil {
					c.after(w.nets[id])
				}
			}}
			_, err := w.service().Deploy(t.Context(), w.request())
			refused(t, err, status.CodeOf(c.refuse), status.ReasonOf(c.refuse))
			// However often it was sent, it went to one.
			if got := slices.Compact(w.done("provision")); !slices.Equal(got, []string{"provision first 1"}) {
				t.Errorf("did %q", got)
			}
			a, ok := w.apps["app@first"]
			got := ""
			if ok {
				got = map[bool]string{true: "pending", false: "settled"}[a.Pending != nil]
			}
			if got != c.remembered {
				t.Errorf("remembered as %q, want %q", got, c.remembered)
			}
		})
	}
}

// providersWith runs something when a provision arrives.
type providersWith struct {
	*world
	before func(publisher.ProviderID)
}

func (p providersWith) Provision(ctx context.Context, id publisher.ProviderID, req publisher.ProvisionRequest, report func(publisher.Progress)) (publisher.Provisioned, error) {
	p.before(id)
	return p.world.Provision(ctx, id, req, report)
}

// TestBrokenStream sends the same order again over another stream, a few times.
func TestBrokenStream(t *testing.T) {
	lost := status.New(status.Unavailable, "peer.lost", "the connection broke")
	for breaks, want := range map[int]int{1: 2, 2: 3, 9: 3} {
		w := newWorld(t)
		p := w.provider("p")
		w.Config.Providers = providersWith{w, func(id publisher.ProviderID) {
			p.refuse = nil
			if p.provisions < breaks {
				p.refuse = lost
			}
		}}
		_, err := w.service().Deploy(t.Context(), w.request(to(p)))
		if want <= breaks {
			refused(t, err, status.Unavailable, "peer.lost")
		} else {
			must(t, err)
		}
		if p.provisions != want || len(w.orders) != 1 {
			t.Errorf("with %d breaks %d orders were sent %d times, want one %d times", breaks, len(w.orders), p.provisions, want)
		}
	}
}

// TestAllRefuse keeps what the last one said, with the app's lines.
func TestAllRefuse(t *testing.T) {
	w := newWorld(t)
	w.provider("a", func(f *fake) { f.refuse = status.New(status.ResourceExhausted, "capacity.cpu", "not enough cpu") })
	w.provider("b", func(f *fake) {
		f.price = "2"
		f.refuse = &status.Error{Code: status.AppFailed, Reason: "app.exited", Detail: "it exited", Log: []string{"web: last line"}}
	})
	_, err := w.service().Deploy(t.Context(), w.request())
	refused(t, err, status.AppFailed, "deploy.refused")
	var e *status.Error
	errors.As(err, &e)
	if !strings.Contains(e.Detail, "it exited") || !slices.Equal(e.Log, []string{"web: last line"}) {
		t.Errorf("got %q with %q", e.Detail, e.Log)
	}
}

// TestNobody is a search that ends without a provider: "no" and "don't know"
// are told apart.
func TestNobody(t *testing.T) {
	down := func(f *fake) { f.down = true }
	short := func(f *fake) { f.short = true }
	bad := func(f *fake) { f.device = other }
	for name, c := range map[string]struct {
		providers []func(*fake)
		code      status.Code
		reason    string
	}{
		"none":         {nil, status.NotFound, "providers.none"},
		"all down":     {[]func(*fake){down, down}, status.Unavailable, "providers.none_passes"},
		"all full":     {[]func(*fake){short, down}, status.ResourceExhausted, "providers.none_passes"},
		"one bad":      {[]func(*fake){short, bad, down}, status.Untrusted, "providers.none_passes"},
		"all bad":      {[]func(*fake){bad, bad}, status.Untrusted, "providers.none_passes"},
		"just one bad": {[]func(*fake){bad}, status.Untrusted, "providers.none_passes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i, f := range c.providers {
				w.provider(string(rune('a'+i)), f)
			}
			_, err := w.service().Deploy(t.Context(), w.request())
			refused(t, err, c.code, c.reason)
		})
	}
	// Interrupted: not a word about providers.
	w := newWorld(t)
	w.provider("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.service().Deploy(ctx, w.request()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFindIsBounded(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.provider(strings.Repeat("x", len(w.order)+1))
	}
	found, err := w.service().Find(t.Context(), publisher.Query{})
	must(t, err)
	if len(found) != 32 {
		t.Errorf("found %d", len(found))
	}
}

// TestUpdate goes to the provider that has the app, whatever others ask, and
// replaces the revision that it has.
func TestUpdate(t *testing.T) {
	w := newWorld(t)
	w.provider("cheap", func(f *fake) { f.price = "0" })
	p := w.provider("p")
	_, err := w.service().Deploy(t.Context(), w.request(to(p)))
	must(t, err)
	created := w.apps["app@p"].Created
	w.pass(time.Hour)
	d, err := w.service().Deploy(t.Context(), w.request())
	must(t, err)
	if d.App.Provider.ID != "p" || d.App.Revision != 2 || !d.App.Created.Equal(created) || w.orders[1].ExpectedRevision != 1 {
		t.Errorf("got %+v", d.App)
	}
	if got := w.done("provision"); !slices.Equal(got, []string{"provision p 1", "provision p 2"}) {
		t.Errorf("did %q", got)
	}

	// An update that is refused leaves what is known of the running one.
	before := w.apps["app@p"]
	p.refuse = status.New(status.Unavailable, "content.unavailable", "the image does not come")
	_, err = w.service().Deploy(t.Context(), w.request())
	refused(t, err, status.Unavailable, "content.unavailable")
	if diff := cmp.Diff(before, w.apps["app@p"]); diff != "" {
		t.Errorf("what is remembered differs:\n%s", diff)
	}

	// A pod that failed is created again.
	p.refuse, p.pods["app"] = nil, publisher.PodStatus{Name: "app", Revision: 5, State: "failed"}
	_, err = w.service().Deploy(t.Context(), w.request())
	must(t, err)
	if got := w.done("provision"); got[len(got)-1] != "provision p 1" {
		t.Errorf("did %q", got)
	}

	// Another one only where it is asked for; its caller's target is not touched.
	target := &publisher.Target{ID: "cheap"}
	_, err = w.service().Deploy(t.Context(), w.request(func(r *publisher.DeployRequest) { r.Provider = target }))
	must(t, err)
	if len(w.apps) != 2 || target.Addrs != nil {
		t.Errorf("remembered %v", w.apps)
	}
}

// TestSlowSealing takes longer than the evidence lasts: the order is sealed to
// fresh evidence.
func TestSlowSealing(t *testing.T) {
	for _, c := range []struct {
		took, maxAge     time.Duration
		attests, reserve int
	}{{time.Minute, 10 * time.Minute, 1, 0}, {6 * time.Minute, 10 * time.Minute, 1, 1}, {time.Hour, 10 * time.Minute, 2, 0}, {time.Minute, 30 * time.Second, 2, 0}} {
		w := newWorld(t)
		p := w.provider("p")
		sealed, attested := make(chan struct{}), make(chan struct{})
		w.onSeal = func() {
			close(sealed)
			<-attested
			w.pass(c.took)
		}
		w.Config.Connection = connectionAfter{w, sealed}
		req := w.request(to(p))
		req.Policy.Freshness.MaxAge = c.maxAge
		report := req.Report
		req.Report = func(e publisher.Event) {
			if e.Event == "verdict" && p.nonces == 1 {
				close(attested)
			}
			report(e)
		}
		_, err := w.service().Deploy(t.Context(), req)
		must(t, err)
		if p.nonces != c.attests || len(w.done("quote")) != c.reserve {
			t.Errorf("after %s it attested %d times and did %q", c.took, p.nonces, w.done("quote"))
		}
	}
}

// connectionAfter connects when the sealing has begun.
type connectionAfter struct {
	*world
	sealed chan struct{}
}

func (c connectionAfter) Connect(ctx context.Context, t publisher.Target) ([]byte, error) {
	<-c.sealed
	return c.world.Connect(ctx, t)
}

// TestInterruptedWhileSealing sends nothing.
func TestInterruptedWhileSealing(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	ctx, cancel := context.WithCancel(t.Context())
	w.onSeal = cancel
	if _, err := w.service().Deploy(ctx, w.request(to(p))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if did := w.done("publish", "encode", "grant", "provision", "save"); len(did) > 0 {
		t.Errorf("did %q", did)
	}
}

// TestContainersShareAnImage seals one reference once.
func TestContainersShareAnImage(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	_, err := w.service().Deploy(t.Context(), w.request(to(p), func(r *publisher.DeployRequest) {
		second := r.Manifest.Containers[0]
		second.Name = "second"
		r.Manifest.Containers = append(r.Manifest.Containers, second)
	}))
	must(t, err)
	if got := w.done("seal"); len(got) != 1 {
		t.Errorf("did %q", got)
	}
	if len(w.orders[0].Keys) != 1 || len(w.apps["app@p"].Images) != 2 {
		t.Errorf("got %v and %v", w.orders[0].Keys, w.apps["app@p"].Images)
	}
}
