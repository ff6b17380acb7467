package provider_test

import (
	"testing"
	"testing/synctest"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/proto/status"
	"apocryph/provider"
)

// own is a policy that accepts the node as it is.
func (n *node) own(version int) *policy.Policy {
	n.w.t.Helper()
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
	ch.Nonce[0] = 1
	got, err := n.Attest(n.w.t.Context(), alice, provider.AttestRequest{Challenge: ch}, nil)
	must(n.w.t, err)
	r, err := verify.Evidence(got.Evidence, got.Claims, ch, nil, verify.RootsShown(nil, got.Evidence), n.w.now())
	must(n.w.t, err)
	p := policy.FromResult([]*attest.Result{r})
	p.Version = version
	return p
}

func under(p *policy.Policy) func(*call) {
	return func(c *call) {
		if p != nil {
			c.order.Policy = p.Marshal()
		}
	}
}

// TestPolicyVersions: an update brings a policy that is not older, across a
// restart too.
func TestPolicyVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		n.deploy(order(t, alice, provider.Create, app("app", img), under(n.own(5))))
		older := func(p *policy.Policy) {
			t.Helper()
			_, err := n.provision(order(t, alice, provider.Update, app("app", img), replaces(1), under(p)))
			refused(t, err, status.Untrusted, "policy.rollback")
			_, err = n.provision(order(t, alice, provider.DryRun, app("app", img), under(p)))
			refused(t, err, status.Untrusted, "policy.rollback")
			n.has("1-0 up")
		}
		older(n.own(4))
		older(nil)
		n.stop()
		n = w.run()
		older(n.own(4))
		n.deploy(order(t, alice, provider.Update, app("app", img), replaces(1), under(n.own(5))))
		n.deploy(order(t, alice, provider.Update, app("app", img), replaces(2), under(n.own(6))))
		// Another publisher's pod has versions of its own.
		n.deploy(order(t, bob, provider.Create, app("app", img), under(n.own(1))))
		must(t, n.Delete(t.Context(), alice, "app", false))
		n.deploy(order(t, alice, provider.Create, app("app", img), under(n.own(1))))
	})
}

// TestSelfAppraisalComesFirst: a provider that is not what the order's policy
// accepts looks at no manifest, key or secret, and pulls nothing. The rest of the
// order is such that looking at it would be a refusal of its own.
func TestSelfAppraisalComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		for _, p := range []*policy.Policy{policy.Builtin(), func() *policy.Policy {
			p := n.own(1)
			p.Reference[0].Measurement[0][0]++
			return p
		}()} {
			_, err := n.provision(order(t, alice, provider.Create, app("app", w.image("sleep")), under(p), func(c *call) {
				c.order.Manifest, c.order.Keys, c.order.Payment.Scheme = []byte("no manifest"), map[string][]byte{"k": nil}, "gold"
			}))
			if status.CodeOf(err) != status.Untrusted {
				t.Errorf("got %v", err)
			}
		}
		n.has()
		if len(w.store.states) != 0 {
			t.Errorf("something was stored: %v", w.store.states)
		}
		// What it cannot show itself, its logs, it is not asked for.
		logs := n.own(1)
		logs.Transparency.RequireInclusion, logs.Workload = true, &policy.Workload{RequiredEvents: []string{"ready"}}
		n.deploy(order(t, alice, provider.Create, app("app", w.image("sleep")), under(logs)))
	})
}
