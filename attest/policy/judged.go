package policy

import (
	"reflect"

	"apocryph/proto/status"
)

// judged is what reading a file found of its policy once and for all: that it
// has no faults, and its digest. Both cost more than the rest of an appraisal.
//
// A policy's fields are open to whoever holds it, so a finding counts only while
// they are what they were. It is never written to after [Parse], which is why a
// policy that nobody changes may be used from several goroutines.
type judged struct {
	// twin is the same policy read a second time, in memory of its own.
	twin   Policy
	digest [32]byte
}

// judge remembers that p, which was read from the tree that d reads, has no
// faults. twin was read from the same tree.
func (p *Policy) judge(twin *Policy) {
	// One table of lines and one finding: equal at a glance, and compared all the same.
	twin.lines = p.lines
	j := &judged{digest: p.Digest()}
	p.judged, twin.judged = j, j
	j.twin = *twin
}

// unchanged reports whether the policy is still the one that was judged.
func (p *Policy) unchanged() bool { return p.judged != nil && reflect.DeepEqual(*p, p.judged.twin) }

// assess returns why the policy cannot be used, or its digest.
func (p *Policy) assess() (faults []status.Fault, digest [32]byte) {
	if p.unchanged() {
		return nil, p.judged.digest
	}
	if faults = p.faults(); len(faults) > 0 {
		return faults, digest
	}
	return nil, p.Digest()
}
