package publisher_test

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"apocryph/attest/policy"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// given is a policy file that says the same as w's, with a version and a name.
func given(t *testing.T, w *world, version int, name string) publisher.GivenPolicy {
	t.Helper()
	p := *w.policy()
	p.Version, p.Name = version, name
	file := p.Marshal()
	parsed, err := policy.Parse(file)
	must(t, err)
	return publisher.GivenPolicy{Policy: parsed, File: file}
}

func (w *world) deployUnder(g publisher.GivenPolicy, p *fake) error {
	_, err := w.service().Deploy(w.t.Context(), w.request(to(p), func(r *publisher.DeployRequest) {
		r.Policy, r.PolicyFile, r.PolicySignature, r.PolicyKey = g.Policy, g.File, g.Signature, g.Key
	}))
	return err
}

func TestPolicyVersions(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	must(t, w.deployUnder(given(t, w, 5, ""), p))
	must(t, w.deployUnder(given(t, w, 5, ""), p))
	must(t, w.deployUnder(given(t, w, 6, ""), p))
	before := len(w.did)
	refused(t, w.deployUnder(given(t, w, 5, ""), p), status.Untrusted, policy.ReasonRollback)
	// The built-in policy is version 1.
	refused(t, w.deployUnder(publisher.GivenPolicy{Policy: policy.Builtin()}, p), status.Untrusted, policy.ReasonRollback)
	if len(w.did) != before {
		t.Errorf("an older policy did %q", w.did[before:])
	}
	last, err := w.service().LastPolicy(t.Context(), "app")
	must(t, err)
	if last.Version != 6 {
		t.Errorf("version %d is remembered, want 6", last.Version)
	}
}

// TestPolicyNames has one policy for several apps: its versions count for all.
func TestPolicyNames(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	must(t, w.deployUnder(given(t, w, 7, "shops"), p))
	s := w.service()
	refused(t, s.CheckPolicy(t.Context(), "another", given(t, w, 6, "shops")), status.Untrusted, policy.ReasonRollback)
	refused(t, s.CheckPolicy(t.Context(), "", given(t, w, 6, "shops")), status.Untrusted, policy.ReasonRollback)
	must(t, s.CheckPolicy(t.Context(), "another", given(t, w, 6, "others")))
	must(t, s.CheckPolicy(t.Context(), "", given(t, w, 6, "")))
	// Another name does not lead an app back.
	refused(t, s.CheckPolicy(t.Context(), "app", given(t, w, 6, "others")), status.Untrusted, policy.ReasonRollback)
}

func TestPolicySignatures(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	other := ed25519.NewKeyFromSeed(slices.Repeat([]byte{1}, 32))
	signed := func(version int, by ed25519.PrivateKey) publisher.GivenPolicy {
		g := given(t, w, version, "")
		var err error
		g.Signature, err = policy.Sign(g.File, by)
		must(t, err)
		return g
	}
	first := signed(2, key)
	first.Key = key.Public().(ed25519.PublicKey)
	wrong := signed(2, other)
	wrong.Key = first.Key
	refused(t, w.deployUnder(wrong, p), status.Untrusted, policy.ReasonSignature)
	if done := w.done("seal", "attest", "grant", "encode"); len(done) != 0 {
		t.Errorf("an unsigned policy did %q", done)
	}
	must(t, w.deployUnder(first, p))
	// The key that was demanded once is demanded from then on.
	refused(t, w.deployUnder(given(t, w, 3, ""), p), status.Untrusted, policy.ReasonSignature)
	refused(t, w.deployUnder(signed(3, other), p), status.Untrusted, policy.ReasonSignature)
	refused(t, w.deployUnder(publisher.GivenPolicy{Policy: policy.Builtin()}, p), status.Untrusted, policy.ReasonSignature)
	edited := signed(3, key)
	edited.File = append(slices.Clone(edited.File), '\n')
	refused(t, w.deployUnder(edited, p), status.Untrusted, policy.ReasonSignature)
	must(t, w.deployUnder(signed(3, key), p))
	// What it was deployed under last decides again without its signature.
	last, err := w.service().LastPolicy(t.Context(), "app")
	must(t, err)
	must(t, w.service().CheckPolicy(t.Context(), "app", last))
	// A user names another key; the older version stays refused.
	replaced := signed(4, other)
	replaced.Key = other.Public().(ed25519.PublicKey)
	must(t, w.deployUnder(replaced, p))
	refused(t, w.deployUnder(signed(5, key), p), status.Untrusted, policy.ReasonSignature)
}

func TestLastPolicy(t *testing.T) {
	w := newWorld(t)
	_, err := w.service().LastPolicy(t.Context(), "app")
	refused(t, err, status.NotFound, "policy.unknown")
	must(t, w.Policies.UsePolicy(t.Context(), publisher.AppScope("app"), publisher.UsedPolicy{Version: 1}))
	last, err := w.service().LastPolicy(t.Context(), "app")
	must(t, err)
	if last.Digest() != policy.Builtin().Digest() {
		t.Error("no file is not the built-in policy")
	}
	must(t, w.Policies.UsePolicy(t.Context(), publisher.AppScope("app"), publisher.UsedPolicy{Version: 2, File: []byte("version: 2\n")}))
	if _, err := w.service().LastPolicy(t.Context(), "app"); status.ReasonOf(err) != policy.ReasonInvalid {
		t.Errorf("got %v", err)
	}
}
