package policy

import (
	"encoding/hex"
	"fmt"
	"strings"

	"apocryph/attest"
)

// Explain says in plain English what the policy demands, a demand a line, each
// with its line in the file where it has one.
func Explain(p *Policy) []string {
	if p == nil {
		return []string{"no policy: everything is denied"}
	}
	e := &explainer{p: p}
	e.say("version", "this is version %d of the policy", p.Version)
	if p.Name != "" {
		e.say("name", "its name is %s", printable(p.Name))
	}
	if p.Unverified {
		e.say("unverified", "its reference values are what a provider showed, compared with nothing: they prove only that the machine stays the same")
	}
	for _, f := range p.faults() {
		e.say(f.Field, "FAULT, so everything is denied: %s: got %s, want %s", f.Field, f.Got, f.Want)
	}
	e.trust()
	if len(p.Reference) == 0 {
		e.say("reference", "no machine is acceptable, since there is no reference set; to pin what a provider shows: publisher policy init --from PROVIDER")
	}
	for i := range p.Reference {
		e.set(fmt.Sprintf("reference[%d]", i), &p.Reference[i], i > 0)
	}
	if o := p.Offer; o != nil {
		e.say("offer", "an offer may cost at most %s %s an hour; a price in another asset is refused", o.MaxPricePerHour, o.Asset)
	} else {
		e.say("offer", "an offer may cost anything")
	}
	if p.Storage.Protected {
		e.say("storage.protected", "data at rest must be encrypted or in memory; the provider's own software says so, in its claims")
	} else {
		e.say("storage", "data at rest may be readable to the owner of the disk")
	}
	p.Workload.explain(e.say)
	p.Provenance.explain(e.say)
	if p.Transparency.RequireInclusion {
		e.say("transparency.require_inclusion", "the provider's transparency log must show this evidence, and have only grown")
	}
	return e.lines
}

type explainer struct {
	p     *Policy
	lines []string
}

func (e *explainer) say(field, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l := e.p.line(field); l > 0 {
		text = fmt.Sprintf("line %d: %s", l, text)
	}
	e.lines = append(e.lines, text)
}

func (e *explainer) trust() {
	p := e.p
	for i, l := range p.Trust.Levels {
		e.say(fmt.Sprintf("trust.levels[%d]", i), "evidence of level %s is accepted: %s", l, levelMeaning[l])
	}
	e.say("trust.levels", "evidence of any other level is refused, and so are guests that can be debugged or migrated")
	for i, f := range p.Trust.EKRoots {
		e.say(fmt.Sprintf("trust.ek_roots[%d]", i), "a TPM may be certified by %s", fingerprint(f))
	}
	for i, f := range p.Dev.SoftCA {
		e.say(fmt.Sprintf("dev.soft_ca[%d]", i), "NOT SECURE: software devices of the development CA %s are believed", fingerprint(f))
	}
	e.say("freshness.max_age", "a verdict holds for at most %s", short(p.Freshness.MaxAge))
}

var levelMeaning = map[attest.Level]string{
	attest.LevelSoft:            "NOT SECURE, a software device that proves nothing about the machine",
	attest.LevelTPMIdentity:     "not a TEE, a TPM that proves which machine it is",
	attest.LevelTPMMeasuredBoot: "not a TEE, a TPM that proves which software booted",
	attest.LevelSNP:             "AMD SEV-SNP, memory that the machine's owner cannot read",
	attest.LevelTDX:             "Intel TDX, memory that the machine's owner cannot read",
}

func (e *explainer) set(at string, s *ReferenceSet, more bool) {
	start := "a machine is acceptable if"
	if more {
		start = "or if"
	}
	e.say(at, "%s it matches all of set %s, with evidence of type %s:", start, s.Name, s.TEE)
	say := func(field, format string, args ...any) { e.say(at+"."+field, "  "+format, args...) }
	if s.TEE == attest.TPM2 {
		e.tpmSet(s, say)
		return
	}
	if s.TEE == attest.TDX {
		e.tdxSet(s.TDX, say)
		s.Boot.explain(say)
		s.explainKeys(say)
		s.PCRs.explain(say)
		return
	}
	say("measurement", "what was launched measures %s", alternatives(s.Measurement))
	if len(s.ChipIDs) > 0 {
		say("chip_ids", "the chip is %s", alternatives(s.ChipIDs))
	} else {
		say("chip_ids", "the chip may be any")
	}
	if s.MinTCB != nil {
		say("min_tcb", "reported, committed and launch firmware are each at least %s", s.MinTCB)
	} else {
		say("min_tcb", "the firmware may be of any age")
	}
	s.GuestPolicy.explain(say)
	say("vmpl", "the report comes from privilege level %d", s.VMPL)
	s.SNP.explain(say)
	s.explainKeys(say)
	s.Boot.explain(say)
	s.PCRs.explain(say)
}

// explainKeys is for sets of reports.
func (s *ReferenceSet) explainKeys(say func(field, format string, args ...any)) {
	if len(s.AKs) > 0 {
		say("aks", "a TPM quotes beside it, whose attestation key the report names and is %s", alternatives(s.AKs))
	}
}

func (e *explainer) tpmSet(s *ReferenceSet, say func(field, format string, args ...any)) {
	if len(s.EK) > 0 {
		say("ek", "the TPM's endorsement key is %s", strings.Join(prints(s.EK), " or "))
	} else if len(s.AKs) == 0 {
		say("ek", "the TPM may be any that trust.ek_roots certifies")
	}
	if len(s.AKs) > 0 {
		say("aks", "the attestation key's name is %s, and nobody else need vouch for it", alternatives(s.AKs))
	}
	s.Boot.explain(say)
	if s.PCRs == nil && s.Boot == nil {
		say("pcrs", "any software may have booted")
	}
	s.PCRs.explain(say)
}

func (q *PCRs) explain(say func(field, format string, args ...any)) {
	if q == nil {
		return
	}
	for _, i := range q.indexes() {
		use := ""
		if pcrUse[i] != "" {
			use = " (" + pcrUse[i] + ")"
		}
		say(fmt.Sprintf("pcrs.values.%d", i), "register %d%s in bank %s is %s", i, use, q.Bank, alternatives(q.Values[i]))
	}
}

func alternatives(list [][]byte) string {
	var s []string
	for _, b := range list {
		s = append(s, hex.EncodeToString(b))
	}
	return strings.Join(s, " or ")
}
