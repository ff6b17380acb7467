package publisher_test

import (
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/publisher"
)

// TestReceiptKeysOfAffirmed: the receipt key is remembered where the policy
// affirmed, and only there.
func TestReceiptKeysOfAffirmed(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	for want, pol := range []*policy.Policy{policy.Builtin(), w.policy()} {
		a, err := w.service().Attest(t.Context(), publisher.Target{ID: p.id}, pol, attest.PurposeProvision, nil)
		if a == nil || a.Verdict.Affirmed != (want > 0) {
			t.Fatalf("got %+v, %v", a, err)
		}
		if got := w.done("key"); len(got) != want {
			t.Errorf("remembered %q, want %d", got, want)
		}
	}
}
