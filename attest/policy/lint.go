package policy

import (
	"bytes"
	"fmt"

	"apocryph/attest"
)

// Severity is how bad a finding is.
type Severity string

// The severities. An error is a demand that proves nothing, or a policy that
// cannot be used; a warning is a choice that a person should know of.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is something to know about a policy before relying on it.
type Finding struct {
	Severity Severity
	// Field is a path such as "reference[0].min_tcb", Line its line in the
	// file, 0 where there is none.
	Field string
	Line  int
	Text  string
}

// String is the finding on one line.
func (f Finding) String() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s: line %d: %s: %s", f.Severity, f.Line, f.Field, f.Text)
	}
	return fmt.Sprintf("%s: %s: %s", f.Severity, f.Field, f.Text)
}

// Lint finds what proves nothing, what can never pass and what is weaker than
// it looks. [Parse] refuses the worst of it already, with the same words; a
// policy that a program built meets those here.
func Lint(p *Policy) []Finding {
	if p == nil {
		return []Finding{{Severity: SeverityError, Field: "policy", Text: "there is none"}}
	}
	l := &linter{p: p}
	for _, f := range p.faults() {
		l.list = append(l.list, Finding{SeverityError, f.Field, f.Line, fmt.Sprintf("got %s, want %s", f.Got, f.Want)})
	}
	l.trust()
	l.provenance(p.Provenance)
	for i := range p.Reference {
		l.set(fmt.Sprintf("reference[%d]", i), &p.Reference[i])
	}
	return l.list
}

type linter struct {
	p    *Policy
	list []Finding
}

func (l *linter) add(s Severity, field, format string, args ...any) {
	l.list = append(l.list, Finding{s, field, l.p.line(field), fmt.Sprintf(format, args...)})
}

func (l *linter) trust() {
	p := l.p
	if p.Unverified {
		l.add(SeverityWarning, "unverified", "the reference values were copied from a provider; compare them with a build of your own and remove this line")
	}
	if len(p.Reference) == 0 {
		l.add(SeverityWarning, "reference", "nothing can pass without a reference set; to pin what a provider shows: publisher policy init --from PROVIDER")
	}
	for i, level := range p.Trust.Levels {
		at := fmt.Sprintf("trust.levels[%d]", i)
		switch level {
		case attest.LevelSoft:
			l.add(SeverityWarning, at, "NOT SECURE: a software device proves nothing about the machine; for development only")
		case attest.LevelTPMIdentity:
			l.add(SeverityWarning, at, "not a TEE: it proves which machine answers, not what runs on it")
		case attest.LevelTPMMeasuredBoot:
			l.add(SeverityWarning, at, "not a TEE: it proves what booted; the machine's owner can read its memory")
		}
		if len(p.Reference) > 0 && !l.used(level) {
			l.add(SeverityWarning, at, "no reference set proves %s, so evidence of that level never passes", level)
		}
	}
	if len(p.Dev.SoftCA) > 0 && !p.accepts(attest.LevelSoft) {
		l.add(SeverityWarning, "dev.soft_ca", "has no effect: trust.levels does not accept soft")
	}
	if p.Offer == nil && l.paid() {
		l.add(SeverityWarning, "offer", "any price is accepted; set max_price_per_hour and asset")
	}
}

// paid reports whether anything but a software device is accepted: nobody
// pays for those.
func (l *linter) paid() bool {
	for _, level := range l.p.Trust.Levels {
		if level != attest.LevelSoft {
			return true
		}
	}
	return false
}

func (l *linter) used(level attest.Level) bool {
	for i := range l.p.Reference {
		if l.p.Reference[i].level() == level {
			return true
		}
	}
	return false
}

func (l *linter) set(at string, s *ReferenceSet) {
	if s.TEE == attest.SEVSNP && (s.MinTCB == nil || *s.MinTCB == TCB{}) {
		l.add(SeverityError, at+".min_tcb", "no firmware floor: firmware with known holes would be accepted")
	}
	if s.TEE == attest.SEVSNP && (s.SNP == nil || !s.SNP.RequireCRL) {
		l.add(SeverityWarning, at+".require_crl", "a provider may leave AMD's revocation list out; set it to true to refuse such evidence")
	}
	if s.TEE == attest.TDX {
		l.tdxSet(at, s.TDX)
	}
	l.launchFloor(at, s)
	l.boot(at, s)
	if s.PCRs == nil {
		return
	}
	for _, i := range s.PCRs.indexes() {
		field := fmt.Sprintf("%s.pcrs.values.%d", at, i)
		if i == 14 {
			l.add(SeverityWarning, field, "the pod log is extended into this register, so a fixed value soon stops matching")
		}
		for _, b := range s.PCRs.Values[i] {
			if len(b) > 0 && (zero(b) || len(bytes.Trim(b, "\xff")) == 0) {
				l.add(SeverityWarning, field, "the value of a register that nothing was measured into")
			}
		}
	}
	for _, i := range []uint32{4, 7} {
		if _, ok := s.PCRs.Values[i]; !ok {
			l.add(SeverityWarning, at+".pcrs.values", "register %d (%s) is not pinned", i, pcrUse[i])
		}
	}
}

// launchFloor warns of a floor of its own that accepts what min_tcb would not.
func (l *linter) launchFloor(at string, s *ReferenceSet) {
	if s.SNP == nil || s.MinTCB == nil {
		return
	}
	for _, f := range []struct {
		field string
		floor *TCB
	}{{"min_committed_tcb", s.SNP.MinCommittedTCB}, {"min_launch_tcb", s.SNP.MinLaunchTCB}} {
		if f.floor == nil {
			continue
		}
		if low := f.floor.below(*s.MinTCB); len(low) > 0 {
			l.add(SeverityWarning, at+"."+f.field, "below min_tcb: firmware that is no longer good enough to run was good enough then")
		}
	}
}

// softwarePCRs are those that boot loaders and kernels are measured into.
var softwarePCRs = []uint32{4, 8, 9, 11, 12, 13}

// boot finds sets of a measured boot that do not say which software booted.
//
// Firmware measures the program that it starts into register 4. Only where that
// is one unified kernel image with its initial disk does the register cover the
// provider's own software: GRUB measures what it loads into 8 and 9, a kernel's
// EFI stub its initial disk into 9, systemd-stub the parts of its image into 11.
func (l *linter) boot(at string, s *ReferenceSet) {
	if s.TEE != attest.TPM2 || s.PCRs == nil && s.Boot == nil {
		return
	}
	pinned := map[uint32]bool{}
	if s.PCRs != nil {
		for i := range s.PCRs.Values {
			pinned[i] = true
		}
	}
	b, field := s.Boot, at+".pcrs.values"
	if b == nil {
		b = &Boot{}
	} else {
		for i := range b.Events {
			pinned[i] = true
		}
		if !pinned[0] && len(b.Firmware) == 0 {
			l.add(SeverityWarning, at+".boot", "the firmware is not pinned, and the event log is its word: pin register 0, or firmware")
		}
	}
	if s.PCRs == nil {
		field = at + ".boot"
	}
	covered := len(b.CommandLines) > 0 || len(b.Initrds) > 0 || len(b.LoadOptions) > 0 || len(b.Sections) > 0
	for _, i := range softwarePCRs[1:] {
		covered = covered || pinned[i]
	}
	switch {
	case !covered && !pinned[4] && !b.proves():
		l.add(SeverityError, field, "no register that covers the provider's software: pin 4, or what the boot log says of programs")
	case !covered:
		l.add(SeverityWarning, field, "register 4 covers the provider's software only where the machine boots one unified kernel image; with GRUB pin 8 and 9 too, with a kernel's own stub 9, with systemd-stub boot.sections")
	}
}

// pcrUse is what firmware measures into a register (TCG PC Client Platform
// Firmware Profile, 3.3.4).
var pcrUse = map[uint32]string{
	0: "firmware", 1: "firmware settings", 2: "option ROMs", 3: "option ROM settings",
	4: "boot loader", 5: "boot loader settings", 6: "platform maker", 7: "secure boot",
	8: "GRUB's commands", 9: "files that GRUB or the kernel's stub loaded", 11: "unified kernel image",
	12: "kernel command line", 14: "pod log",
}
