package publisher_test

import (
	"context"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// keptRevision is what a provider can go back to.
type keptRevision struct {
	revision uint64
	manifest []byte
	release  *publisher.ReleaseProof
}

func (p pods) PodHistory(_ context.Context, at publisher.ProviderID, _ string) (out []publisher.PodRevision, err error) {
	for _, k := range p.w.nets[at].kept {
		digest := manifest.DigestOf(k.manifest)
		out = append(out, publisher.PodRevision{Revision: k.revision, ManifestDigest: digest[:]})
	}
	return out, nil
}

func (p pods) RollbackPod(_ context.Context, at publisher.ProviderID, req publisher.PodRollback, report func(publisher.Progress)) (publisher.Provisioned, error) {
	f := p.w.nets[at]
	p.w.note("rollback %s %d", at, req.To)
	f.rollbacks = append(f.rollbacks, req)
	report(publisher.Progress{Stage: "starting"})
	if f.broken > 0 {
		f.broken--
		return publisher.Provisioned{}, status.New(status.Unavailable, "peer.lost", "the stream broke")
	}
	if f.refuse != nil {
		return publisher.Provisioned{}, f.refuse
	}
	k := f.kept[0]
	for _, have := range f.kept {
		if have.revision == req.To {
			k = have
		}
	}
	digest := manifest.DigestOf(k.manifest)
	out := publisher.Provisioned{PodID: "pod", Revision: req.Expected + 1, Endpoints: f.endpoints, ManifestDigest: digest[:], Release: k.release}
	if f.restores != nil {
		f.restores(&out)
	}
	f.pods["app"] = publisher.PodStatus{PodID: "pod", Name: "app", Revision: out.Revision, State: "running"}
	if out.Receipt != nil {
		return out, nil
	}
	var err error
	out.Receipt, err = f.receipt(out, k.manifest)
	return out, err
}

// twice deploys two revisions of an app, and returns what is remembered of it.
func twice(t *testing.T, w *world, p *fake) publisher.App {
	t.Helper()
	for _, mode := range []string{"one", "two"} {
		req := w.request(to(p))
		req.Manifest.Containers[0].Env = []manifest.EnvVar{{Name: "MODE", Value: mode}}
		_, err := w.service().Deploy(t.Context(), req)
		must(t, err)
	}
	w.did = nil
	return w.apps["app@p"]
}

func (w *world) rollback(app publisher.App, to uint64) (*publisher.RolledBack, error) {
	return w.service().Rollback(w.t.Context(), publisher.RollbackRequest{
		App: app, To: to, Policy: &publisher.GivenPolicy{Policy: w.policy()}, Report: func(e publisher.Event) { w.events = append(w.events, e) },
	})
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p", logs)
	app := twice(t, w, p)
	first := publisher.AppRevision{Revision: 1, ManifestDigest: manifest.DigestOf(p.kept[0].manifest).String(), Images: app.Images}
	if diff := cmp.Diff([]publisher.AppRevision{first}, app.Past); diff != "" {
		t.Fatalf("what is remembered of the first:\n%s", diff)
	}
	p.broken = 1
	r, err := w.rollback(app, 0)
	must(t, err)
	if got, want := w.done("attest", "grant", "encode", "publish", "seal", "provision", "rollback", "save"), []string{
		"attest p", "rollback p 0", "rollback p 0", "save p settled",
	}; !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	if a, b := p.rollbacks[0], p.rollbacks[1]; a != b || a.Expected != 2 || a.RequestID == [16]byte{} || a.Name != "app" {
		t.Errorf("asked for %+v and %+v", a, b)
	}
	if len(r.Unproven) != 0 || r.Replaced != 2 || r.App.Revision != 3 || r.App.ManifestDigest != first.ManifestDigest || len(r.App.Receipt) == 0 {
		t.Errorf("got %+v", r)
	}
	if diff := cmp.Diff(r.App, w.apps["app@p"]); diff != "" {
		t.Errorf("what is remembered differs:\n%s", diff)
	}
	if n := len(r.App.Past); n != 2 || r.App.Past[1].Revision != 2 {
		t.Errorf("the past is %+v", r.App.Past)
	}
	// And forward again, by its number.
	r, err = w.rollback(r.App, 2)
	must(t, err)
	if r.App.Revision != 4 || r.App.ManifestDigest != app.ManifestDigest || len(r.Unproven) != 0 {
		t.Errorf("got %+v", r)
	}
	// A deploy goes on from there.
	_, err = w.service().Deploy(t.Context(), w.request(to(p)))
	must(t, err)
	if got := w.apps["app@p"]; got.Revision != 5 || w.orders[len(w.orders)-1].ExpectedRevision != 4 {
		t.Errorf("got %+v", got)
	}
}

// TestRollbackOfTheUnknown: what another machine deployed is taken from the
// receipt, and said to be unproven.
func TestRollbackOfTheUnknown(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p", logs)
	app := twice(t, w, p)
	w.Logs = &memoryLogs{}
	bare := publisher.App{Name: app.Name, Provider: app.Provider}
	r, err := w.rollback(bare, 1)
	must(t, err)
	if len(r.Unproven) != 2 || r.App.Revision != 3 || len(r.App.Images) != 1 || r.App.Images[0].CID != rootCID || r.App.Images[0].KeyID != "" {
		t.Errorf("got %+v", r)
	}
}

// TestRollbackIsNotAsked where the provider is not affirmed any more.
func TestRollbackIsNotAsked(t *testing.T) {
	for name, spoil := range map[string]func(*world, *fake){
		"another program": func(_ *world, p *fake) { p.device = changed },
		"another machine": func(_ *world, p *fake) { p.device = other },
		"log went back":   func(_ *world, p *fake) { p.book.fork(9) },
		"log is gone":     func(_ *world, p *fake) { p.book = nil },
		"down":            func(_ *world, p *fake) { p.down = true },
		"no pod":          func(_ *world, p *fake) { delete(p.pods, "app") },
		"no policy":       func(w *world, _ *fake) { w.Policies = policies{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", logs)
			app := twice(t, w, p)
			spoil(w, p)
			req := publisher.RollbackRequest{App: app, Policy: &publisher.GivenPolicy{Policy: w.policy()}}
			if name == "no policy" {
				req.Policy = nil
			}
			if _, err := w.service().Rollback(t.Context(), req); err == nil {
				t.Error("it is affirmed")
			}
			if did := w.done("rollback", "save"); len(did) > 0 {
				t.Errorf("did %q", did)
			}
		})
	}
}

// TestRollbackRefused is every reason not to believe what came of it.
func TestRollbackRefused(t *testing.T) {
	foreign := func(*receipt.Receipt) ed25519.PrivateKey {
		_, key, _ := ed25519.GenerateKey(nil)
		return key
	}
	keep := func(p *fake, change func(*receipt.Receipt)) {
		p.receipted = func(r *receipt.Receipt) ed25519.PrivateKey { change(r); return p.sign }
	}
	for name, c := range map[string]struct {
		spoil  func(*fake)
		code   status.Code
		reason string
	}{
		"refused":         {func(p *fake) { p.refuse = status.New(status.Conflict, "pod.no_previous", "none") }, status.Conflict, "pod.no_previous"},
		"did not come up": {func(p *fake) { p.refuse = status.New(status.AppFailed, "app.exited", "it exited") }, status.AppFailed, "app.exited"},
		"always breaks":   {func(p *fake) { p.broken = 9 }, status.Unavailable, "peer.lost"},
		"another revision": {func(p *fake) {
			p.kept[0], p.kept[1] = p.kept[1], p.kept[0]
			p.kept[0].revision, p.kept[1].revision = 1, 2
		}, status.Untrusted, "rollback.digest"},
		"no digest":    {func(p *fake) { p.restores = func(o *publisher.Provisioned) { o.ManifestDigest = nil } }, status.Untrusted, "rollback.digest"},
		"short digest": {func(p *fake) { p.restores = func(o *publisher.Provisioned) { o.ManifestDigest = o.ManifestDigest[1:] } }, status.Untrusted, "rollback.digest"},
		"long digest": {func(p *fake) {
			p.restores = func(o *publisher.Provisioned) { o.ManifestDigest = append(slices.Clone(o.ManifestDigest), 0) }
		}, status.Untrusted, "rollback.digest"},
		"no receipt":      {func(p *fake) { p.restores = func(o *publisher.Provisioned) { o.Receipt = []byte{} } }, status.Untrusted, "receipt.missing"},
		"foreign receipt": {func(p *fake) { p.receipted = foreign }, status.Untrusted, "receipt.refused"},
		"other image": {func(p *fake) {
			keep(p, func(r *receipt.Receipt) { r.Images[0].ImageID = "sha256:" + strings.Repeat("0", 64) })
		}, status.Untrusted, "receipt.other"},
		"other manifest": {func(p *fake) { keep(p, func(r *receipt.Receipt) { r.Manifest[0] ^= 1 }) }, status.Untrusted, "receipt.other"},
		"older revision": {func(p *fake) { p.restores = func(o *publisher.Provisioned) { o.Revision = 2 } }, status.Untrusted, "receipt.other"},
		"other boot":     {func(p *fake) { keep(p, func(r *receipt.Receipt) { r.BootEpoch = make([]byte, 32) }) }, status.Untrusted, "receipt.other"},
		"release not there": {func(p *fake) {
			p.book.answer = func(a *publisher.TreeAnswer) {
				for i := range a.Inclusions {
					a.Inclusions[i] = nil
				}
			}
		}, status.Untrusted, ""},
		"fewer releases": {func(p *fake) {
			p.book.answer = func(a *publisher.TreeAnswer) { a.Inclusions = nil }
		}, status.Untrusted, "transparency.release"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", logs)
			app := twice(t, w, p)
			c.spoil(p)
			_, err := w.rollback(app, 1)
			if status.CodeOf(err) != c.code || c.reason != "" && status.ReasonOf(err) != c.reason {
				t.Errorf("got %v (%v %s)", err, status.CodeOf(err), status.ReasonOf(err))
			}
			if diff := cmp.Diff(app, w.apps["app@p"]); diff != "" {
				t.Errorf("what is remembered has changed:\n%s", diff)
			}
		})
	}
}

// TestPastIsBounded, whatever is deployed how often.
func TestPastIsBounded(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	for range 23 {
		_, err := w.service().Deploy(t.Context(), w.request(to(p)))
		must(t, err)
		w.pass(time.Second)
	}
	past := w.apps["app@p"].Past
	if len(past) != 20 || past[0].Revision != 3 || past[19].Revision != 22 {
		t.Errorf("%d revisions are remembered: %+v", len(past), past)
	}
}
