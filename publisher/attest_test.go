package publisher_test

import (
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// TestAttestAnotherKind looks at evidence of a kind that the policy does not
// accept, so that the answer can say more than that.
func TestAttestAnotherKind(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	a, err := w.service().Attest(t.Context(), publisher.Target{ID: p.id}, policy.Builtin(), attest.PurposeProvision, nil)
	if status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) == "attest.type" {
		t.Errorf("got %v", err)
	}
	if a == nil || a.Verdict.Affirmed || a.Result == nil || len(a.Result.Checks) == 0 {
		t.Errorf("got %+v", a)
	}
	if got := w.done("attest"); len(got) != 2 {
		t.Errorf("did %q", got)
	}
}
