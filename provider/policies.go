package provider

import "apocryph/proto/status"

// mayReplacePolicy refuses an order whose policy is older than the one that the
// pod has, or that brings none where the pod has one: whoever can repeat an old
// order must not bring back what its publisher accepts no more.
func mayReplacePolicy(have, want Record) error {
	if have.Revision == 0 || want.PolicyVersion >= have.PolicyVersion {
		return nil
	}
	return status.New(status.Untrusted, "policy.rollback", "ATT-161 policy's version: got %d, want at least %d, which pod %q has", want.PolicyVersion, have.PolicyVersion, have.Name).
		WithHint("give the policy a version that is not lower, after a look at what it demands")
}
