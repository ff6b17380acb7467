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
	if s.TEE == attest.TDX {
		l.tdxSet(at, s.TDX)
	}
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

// pcrUse is what firmware measures into a register (TCG PC Client Platform
// Firmware Profile, 3.3.4).
var pcrUse = map[uint32]string{
	0: "firmware", 1: "firmware settings", 2: "option ROMs", 3: "option ROM settings",
	4: "boot loader", 5: "boot loader settings", 6: "platform maker", 7: "secure boot",
	14: "pod log",
}
