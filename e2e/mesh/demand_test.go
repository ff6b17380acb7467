package mesh

import (
	"testing"

	"apocryph/attest/policy"
	"apocryph/proto/status"
)

// TestLogsDemanded: a policy that looks at the pod log and the transparency log
// affirms a provider that shows both, before there is a pod, and denies where
// they lack what it asks for.
func TestLogsDemanded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	a := newAuthor(t)
	pol := a.policy(h.target())
	pol.Workload = &policy.Workload{Registers: []string{"none"}, RequiredEvents: []string{"agent-start", "config", "ready"}, Forbid: []string{"ssh"}}
	pol.Transparency.RequireInclusion = true
	_, err := a.deploy(t.Context(), job{manifest: app("logged", image(t, 1<<10)), to: h.target(), policy: pol})
	must(t, err)
	for name, w := range map[string]policy.Workload{
		"another register": {Registers: []string{"pcr14"}},
		"a missing event":  {RequiredEvents: []string{"build-done"}},
		"a forbidden one":  {Forbid: []string{"pod-start"}},
	} {
		pol.Workload = &w
		if _, err := a.deploy(t.Context(), job{manifest: app("other", image(t, 1<<10)), to: h.target(), policy: pol}); status.ReasonOf(err) != "attest.denied" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
