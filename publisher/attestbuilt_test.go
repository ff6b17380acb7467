package publisher_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// showLog is the pod log of a provider, with its builds opened.
func (f *fake) showLog(c *attest.Claims) podlog.Shown {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	events := []podlog.Event{
		&podlog.AgentStart{At: at, Version: "0.0.1", Binary: podlog.Digest{1}, Provider: "p", BootEpoch: make([]byte, 16), Keys: podlog.Digest{1}},
		&podlog.Config{At: at, Name: "serve", Effective: podlog.Digest{1}, Storage: "none"},
		&podlog.Ready{At: at},
	}
	for _, done := range f.logged {
		events = append(events, &done)
	}
	out := podlog.Shown{Openings: map[uint64]podlog.Opening{}}
	for i, e := range events {
		r, o, err := podlog.Seal(uint64(i), e, podlog.Salt{1, byte(i)})
		must(f.w.t, err)
		out.Records, out.Openings[r.Seq] = append(out.Records, r), o
	}
	head, err := podlog.Replay(out.Records, podlog.Head{})
	must(f.w.t, err)
	c.PodLogLength = head.Length
	c.PodLogHead, err = head.Value(podlog.SHA384)
	must(f.w.t, err)
	return out
}

// fromRepository is a policy's section that the builds of these tests pass.
func fromRepository() *policy.Provenance {
	return &policy.Provenance{Required: true, Repositories: []string{"https://github.com/o/r"}, Branches: []string{"main"}}
}

// TestImagesWithoutStatement: what this machine encrypts nobody has built, so where
// a policy wants to know how, nothing is sent and nobody is asked.
func TestImagesWithoutStatement(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	req := w.request(to(p))
	req.Policy.Provenance = fromRepository()
	_, err := w.service().Deploy(t.Context(), req)
	refused(t, err, status.Untrusted, "deploy.no_provenance")
	if f := status.Public(err).Faults; len(f) != len(req.Manifest.Containers) || !strings.Contains(f[0].Field, req.Manifest.Containers[0].Name) {
		t.Errorf("got %v", f)
	}
	_, err = w.service().DryRun(t.Context(), req)
	refused(t, err, status.Untrusted, "deploy.no_provenance")
	if len(w.did) > 0 {
		t.Errorf("did %q", w.did)
	}
	req.Policy.Provenance.Required = false
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	if len(d.Warnings) != 1 || !strings.HasPrefix(d.Warnings[0], "not judged by the policy's section provenance:") {
		t.Errorf("warned %q", d.Warnings)
	}

	// One that the provider builds, beside one that it does not.
	w, _, req = gitWorld(t)
	req.Policy.Provenance = fromRepository()
	beside := req.Manifest.Containers[0]
	beside.Name, beside.Image.Ref = "beside", "oci:image"
	req.Manifest.Containers = append(req.Manifest.Containers, beside)
	_, err = w.service().Deploy(t.Context(), req)
	refused(t, err, status.Untrusted, "deploy.no_provenance")
	if f := status.Public(err).Faults; len(f) != 1 || f[0].Field != "containers[beside].image" || len(w.did) > 0 {
		t.Errorf("got %v, did %q", f, w.did)
	}
}

// TestLoggedBuilds: where the policy wants the build in the pod log, it is looked for
// before anything is sent.
func TestLoggedBuilds(t *testing.T) {
	for name, tt := range map[string]struct {
		logs   func(*podlog.BuildDone)
		claims func(*attest.Claims)
		reason string
	}{
		"in the log":        {func(*podlog.BuildDone) {}, nil, ""},
		"no log":            {nil, nil, "attest.denied"},
		"another build":     {func(d *podlog.BuildDone) { d.PodID = "other" }, nil, "build.denied"},
		"another statement": {func(d *podlog.BuildDone) { d.Provenance[0]++ }, nil, "build.denied"},
		"another image":     {func(d *podlog.BuildDone) { d.ImageID[0]++ }, nil, "build.denied"},
		"another log":       {func(*podlog.BuildDone) {}, func(c *attest.Claims) { c.PodLogHead[0]++ }, "attest.denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, req := gitWorld(t)
			req.Policy.Provenance = fromRepository()
			req.Policy.Provenance.Logged = true
			b.logs = tt.logs
			b.f.claims = func(c *attest.Claims) {
				if tt.claims != nil && len(c.PodLogHead) > 0 {
					tt.claims(c)
				}
			}
			_, err := w.service().Deploy(t.Context(), req)
			if tt.reason == "" {
				must(t, err)
				return
			}
			refused(t, err, status.Untrusted, tt.reason)
			if got := w.done("encode", "provision", "save", "grant"); len(got) > 0 || len(w.done("drop")) != 1 {
				t.Errorf("did %q", w.did)
			}
		})
	}
}

// deployed is an app of a commit, and the world that it is in.
func deployed(t *testing.T) (*world, *builder, publisher.App) {
	w, b, req := gitWorld(t)
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	return w, b, d.App
}

// TestBuildsOfAnApp: whoever verifies an app again has its builds judged, by what the
// provider says of them now.
func TestBuildsOfAnApp(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(make([]byte, 32))
	// again is the statement with a change, by a key.
	again := func(t *testing.T, b *builder, key ed25519.PrivateKey, change func(*provenance.Build)) []byte {
		said, _, err := provenance.Open(b.f.built[0], b.f.sign.Public().(ed25519.PublicKey))
		must(t, err)
		change(&said)
		payload, err := provenance.Encode(said)
		must(t, err)
		envelope, err := provenance.Sign(payload, key)
		must(t, err)
		return envelope
	}
	for name, tt := range map[string]struct {
		spoil  func(t *testing.T, b *builder, p *policy.Policy)
		denied string
	}{
		"as it was":  {func(*testing.T, *builder, *policy.Policy) {}, ""},
		"no section": {func(_ *testing.T, b *builder, p *policy.Policy) { b.f.built, p.Provenance = nil, nil }, ""},
		"none":       {func(_ *testing.T, b *builder, _ *policy.Policy) { b.f.built = nil }, "ATT-120"},
		"another key": {func(t *testing.T, b *builder, _ *policy.Policy) {
			b.f.built = [][]byte{again(t, b, stranger, func(*provenance.Build) {})}
		}, "ATT-120"},
		"another image": {func(t *testing.T, b *builder, _ *policy.Policy) {
			b.f.built = [][]byte{again(t, b, b.f.sign, func(s *provenance.Build) { s.ImageID = digestText("77") })}
		}, "ATT-120"},
		"another builder": {func(t *testing.T, b *builder, _ *policy.Policy) {
			b.f.built = [][]byte{again(t, b, b.f.sign, func(s *provenance.Build) { s.Builder += "x" })}
		}, "ATT-120"},
		"twice":          {func(_ *testing.T, b *builder, _ *policy.Policy) { b.f.built = slices.Repeat(b.f.built, 2) }, "ATT-120"},
		"another branch": {func(_ *testing.T, _ *builder, p *policy.Policy) { p.Provenance.Branches = []string{"release"} }, "ATT-121"},
		"not logged": {func(_ *testing.T, b *builder, p *policy.Policy) {
			p.Provenance.Logged, b.f.logged = true, []podlog.BuildDone{}
		}, "ATT-124"},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, app := deployed(t)
			p := w.policy()
			p.Provenance = fromRepository()
			tt.spoil(t, b, p)
			seen := 0
			enough := errors.New("enough")
			err := w.service().Watch(t.Context(), publisher.WatchRequest{
				App: app, Policy: func(ctx context.Context) (publisher.GivenPolicy, error) {
					return publisher.GivenPolicy{Policy: p}, nil
				},
				Seen: func(a *publisher.Attested, _ *publisher.PodStatus) {
					seen++
					if n := len(a.Builds); (n == 1) != p.WantsBuilds() {
						t.Errorf("got %d builds", n)
					}
				},
				Wait: func(context.Context, time.Time) error { return enough },
			})
			if tt.denied == "" {
				if !errors.Is(err, enough) || seen != 1 {
					t.Errorf("got %v", err)
				}
				return
			}
			refused(t, err, status.Untrusted, "attest.denied")
			if !strings.Contains(err.Error(), tt.denied) {
				t.Errorf("got %v, want %s", err, tt.denied)
			}
		})
	}
}

// TestBuildsOverHTTP is a warning, also where the policy takes it.
func TestBuildsOverHTTP(t *testing.T) {
	w, b, app := deployed(t)
	said, _, err := provenance.Open(b.f.built[0], b.f.sign.Public().(ed25519.PublicKey))
	must(t, err)
	said.Source.Repository = "http://git.internal/o/r"
	payload, err := provenance.Encode(said)
	must(t, err)
	b.f.built[0], err = provenance.Sign(payload, b.f.sign)
	must(t, err)
	p := w.policy()
	p.Provenance = fromRepository()
	p.Provenance.Repositories = []string{"http://git.internal/o/r"}
	enough := errors.New("enough")
	err = w.service().Watch(t.Context(), publisher.WatchRequest{
		App: app, Policy: func(context.Context) (publisher.GivenPolicy, error) { return publisher.GivenPolicy{Policy: p}, nil },
		Seen: func(a *publisher.Attested, _ *publisher.PodStatus) {
			if !strings.Contains(strings.Join(a.Verdict.Warnings, "\n"), client.WarnUnauthenticated) {
				t.Errorf("got %q", a.Verdict.Warnings)
			}
		},
		Wait: func(context.Context, time.Time) error { return enough },
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}

// TestRollbackToAnUnknownBuild: what comes back has to be what the policy accepts; where
// it is known here what that is, nothing is asked for before.
func TestRollbackToAnUnknownBuild(t *testing.T) {
	for name, to := range map[string]uint64{"by number": 1, "the last": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p")
			app := twice(t, w, p)
			given := w.policy()
			given.Provenance = fromRepository()
			_, err := w.service().Rollback(t.Context(), publisher.RollbackRequest{App: app, To: to, Policy: &publisher.GivenPolicy{Policy: given}})
			refused(t, err, status.Untrusted, "attest.denied")
			if !strings.Contains(err.Error(), "ATT-120") {
				t.Errorf("got %v", err)
			}
			if n := len(w.done("rollback")); (n == 0) != (to == 1) {
				t.Errorf("did %q", w.did)
			}
		})
	}
}
