package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"apocryph/attest"
)

// tpm appraises a TPM's quote.
func (a *appraisal) tpm() bool {
	f := a.r.TPM
	if f == nil {
		return a.missing("quote")
	}
	a.v.Platform = hex.EncodeToString(f.EKFingerprint[:])
	if f.EKFingerprint == [32]byte{} {
		// Only a policy that pins attestation keys is content with one of them.
		if len(a.p.AKNames()) == 0 || len(f.AKName) != AKNameSize {
			return a.missing("endorsement key")
		}
		name := sha256.Sum256(f.AKName)
		a.v.Platform = hex.EncodeToString(name[:])
	} else if roots := a.p.Trust.EKRoots; len(roots) > 0 {
		ok := a.check(attest.Check{
			Code: CodeEKRoot, Name: "endorsement root", Anchor: anchorOf(a.r.Level), Policy: a.p.where("trust.ek_roots"),
			Got: fingerprint(f.EKRootFingerprint), Want: fingerprints(roots),
			OK: slices.Contains(roots, f.EKRootFingerprint),
		})
		if !ok {
			return false
		}
	}
	set, ok := a.match(attest.TPM2, a.tpmSet)
	if !ok {
		return false
	}
	a.v.Level = set.level()
	return true
}

// tpmSet compares the quote with one set. The first check says which level the
// set proves, so that a set without registers is not left without a check.
func (a *appraisal) tpmSet(at string, s *ReferenceSet) []attest.Check {
	f, anchor := a.r.TPM, anchorOf(a.r.Level)
	checks := []attest.Check{{
		Code: CodeLevel, Name: "level", Anchor: anchor, Policy: a.p.where(at + ".tee"),
		Got: string(s.level()), Want: joinLevels(a.p.Trust.Levels), OK: a.p.accepts(s.level()),
	}}
	if len(s.EK) > 0 {
		checks = append(checks, attest.Check{
			Code: CodePlatform, Name: "endorsement key", Anchor: anchor, Policy: a.p.where(at + ".ek"),
			Got: fingerprint(f.EKFingerprint), Want: fingerprints(s.EK), OK: slices.Contains(s.EK, f.EKFingerprint),
		})
	}
	switch {
	case len(s.AKs) > 0:
		checks = append(checks, a.attestationKey(at, s, anchor))
	case f.EKFingerprint == [32]byte{}:
		checks = append(checks, attest.Check{
			Code: CodePlatform, Name: "endorsement key", Anchor: anchor, Policy: a.p.where(at),
			Got: "nothing", Want: "a certified one, since the set pins no attestation key",
		})
	}
	checks = append(checks, a.boot(at, CodePCRValue, anchor, s.Boot, f.Boot)...)
	return append(checks, a.registers(at, s.PCRs)...)
}

// attestationKey compares the name of the key that signed the quote.
func (a *appraisal) attestationKey(at string, s *ReferenceSet, anchor attest.Anchor) attest.Check {
	name := a.r.TPM.AKName
	return attest.Check{
		Code: CodePlatform, Name: "attestation key", Anchor: anchor, Policy: a.p.where(at + ".aks"),
		Got: hexOrNothing(name), Want: hexes(s.AKs), OK: contains(s.AKs, name),
	}
}

// registers compares those that a set names.
func (a *appraisal) registers(at string, q *PCRs) (checks []attest.Check) {
	if q == nil {
		return nil
	}
	for _, i := range q.indexes() {
		checks = append(checks, a.register(fmt.Sprintf("%s.pcrs.values.%d", at, i), q.Bank, i, q.Values[i])...)
	}
	return checks
}

// register compares one register. It must be quoted exactly once: of two
// values nobody could say which is meant.
func (a *appraisal) register(field, bank string, index uint32, want [][]byte) []attest.Check {
	var values [][]byte
	for _, q := range a.r.TPM.PCRs {
		if q.Bank == bank && q.Index == index {
			values = append(values, q.Value)
		}
	}
	name, anchor := fmt.Sprintf("pcr %d (%s)", index, bank), a.quoteAnchor()
	selected := attest.Check{
		Code: CodePCRSelection, Name: name + " quoted", Anchor: anchor, Policy: a.p.where(field),
		Got: fmt.Sprintf("%d times", len(values)), Want: "once", OK: len(values) == 1,
	}
	if !selected.OK {
		return []attest.Check{selected}
	}
	selected.Got = "once"
	return []attest.Check{selected, {
		Code: CodePCRValue, Name: name, Anchor: anchor, Policy: a.p.where(field),
		Got: hexOrNothing(values[0]), Want: hexes(want), OK: contains(want, values[0]),
	}}
}
