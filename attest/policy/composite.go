package policy

import (
	"apocryph/attest"
)

// quoteAnchor is what makes a TPM's registers believable: the report that names
// its key, where there is one.
func (a *appraisal) quoteAnchor() attest.Anchor {
	if anchor := anchorOf(a.r.Level); anchor != attest.AnchorHardware {
		return anchor
	}
	return attest.AnchorVTPMHardware
}

// wantsQuote reports whether a set for reports demands something of a TPM beside
// them. What a TD boots is in its own registers.
func (s *ReferenceSet) wantsQuote() bool {
	return s.PCRs != nil || len(s.AKs) > 0 || s.Boot != nil && s.TEE != attest.TDX
}

// beside compares the quote of the TPM that a report names. Which TPM it is the
// measured software said; a set may hold it to certain attestation keys. Their
// endorsement key is not compared, since nobody shows one.
func (a *appraisal) beside(at string, s *ReferenceSet) []attest.Check {
	if !s.wantsQuote() {
		return nil
	}
	c := attest.Check{
		Code: CodePCRSelection, Name: "quote", Anchor: a.quoteAnchor(), Policy: a.p.where(at + ".pcrs"),
		Got: "no TPM beside the report", Want: "a quote by the TPM that the report names",
	}
	switch {
	case s.PCRs != nil:
	case s.Boot != nil && s.TEE != attest.TDX:
		c.Policy = a.p.where(at + ".boot")
	default:
		c.Policy = a.p.where(at + ".aks")
	}
	f := a.r.TPM
	if f == nil {
		return []attest.Check{c}
	}
	c.OK, c.Got = f.AKBinding == attest.AKReported || f.AKBinding == attest.AKActivated, "a quote by the key "+hexOrNothing(f.AKName)
	checks := []attest.Check{c}
	if len(s.AKs) > 0 {
		checks = append(checks, a.attestationKey(at, s, a.quoteAnchor()))
	}
	if s.TEE != attest.TDX {
		checks = append(checks, a.boot(at, CodePCRValue, a.quoteAnchor(), s.Boot, f.Boot)...)
	}
	return append(checks, a.registers(at, s.PCRs)...)
}

// besides pins what a TPM beside a report showed.
func (s ReferenceSet) besides(f *attest.TPMFacts) ReferenceSet {
	if f == nil {
		return s
	}
	s.PCRs = fromPCRs(f)
	if s.TEE != attest.TDX {
		s.Boot = fromBoot(f.Boot)
	}
	return s
}
