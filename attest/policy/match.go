package policy

import (
	"fmt"

	"apocryph/attest"
)

func (a *appraisal) noSet(kind attest.Type) bool {
	return a.check(attest.Check{
		Code: CodeNoReferenceSet, Name: "reference set", Got: fmt.Sprintf("no reference set for %s", kind),
		Want:   "at least one; to pin what a provider shows: publisher policy init --from PROVIDER",
		Policy: a.p.where("reference"),
	})
}

// match finds the first set of the kind whose checks all pass. Where none
// does, the one that comes closest explains why.
func (a *appraisal) match(kind attest.Type, eval func(at string, s *ReferenceSet) []attest.Check) (*ReferenceSet, bool) {
	var best *ReferenceSet
	var checks []attest.Check
	most := -1
	for i := range a.p.Reference {
		s := &a.p.Reference[i]
		if s.TEE != kind {
			continue
		}
		list := eval(fmt.Sprintf("reference[%d]", i), s)
		passed := 0
		for _, c := range list {
			if c.OK {
				passed++
			}
		}
		if passed == len(list) {
			// Whole beats closest: another set may have more checks and pass more of them.
			best, checks = s, list
			break
		}
		if passed > most {
			best, checks, most = s, list, passed
		}
	}
	if best == nil {
		return nil, a.noSet(kind)
	}
	for _, c := range checks {
		c.Name += ", set " + best.Name
		if !a.check(c) {
			return nil, false
		}
	}
	return best, true
}
