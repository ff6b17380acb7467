package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"apocryph/attest"
)

// snp appraises an SEV-SNP report, or one of a software device, which has its
// shape and another root.
func (a *appraisal) snp() bool {
	f := a.r.SNP
	if f == nil {
		return a.missing("report")
	}
	if len(f.ChipID) > 0 && !zero(f.ChipID) {
		chip := sha256.Sum256(f.ChipID)
		a.v.Platform = hex.EncodeToString(chip[:])
	}
	kind := attest.SEVSNP
	if a.r.Level == attest.LevelSoft {
		kind = attest.Soft
	} else if slices.Contains(a.p.Dev.SoftCA, f.RootFingerprint) {
		// A development root must never carry the name of the hardware.
		return a.check(attest.Check{
			Code: CodeDevMode, Name: "root", Anchor: attest.AnchorSelf, Got: "a development CA " + fingerprint(f.RootFingerprint),
			Want: "the vendor's root", Policy: a.p.where("dev.soft_ca"),
		})
	}
	if !a.check(a.flag(CodeDebug, "debugging", f.Debug)) || !a.check(a.flag(CodeMigratable, "migration", f.Migratable)) {
		return false
	}
	set, ok := a.match(kind, a.snpSet)
	if !ok {
		return false
	}
	if kind == attest.SEVSNP && (set.MinTCB == nil || *set.MinTCB == TCB{}) {
		a.warn("%s: set %s accepts firmware with known holes; give it min_tcb", WarnNoTCBFloor, set.Name)
	}
	return true
}

func (a *appraisal) flag(code, name string, on bool) attest.Check {
	c := attest.Check{Code: code, Name: name, Anchor: anchorOf(a.r.Level), Got: "off", Want: "off", OK: !on}
	if on {
		c.Got = "on"
	}
	return c
}

// snpSet compares the report with one set.
func (a *appraisal) snpSet(at string, s *ReferenceSet) []attest.Check {
	f, anchor := a.r.SNP, anchorOf(a.r.Level)
	checks := []attest.Check{
		{
			Code: CodeVMPL, Name: "privilege level", Anchor: anchor, Policy: a.p.where(at + ".vmpl"),
			Got: strconv.Itoa(f.VMPL), Want: strconv.Itoa(s.VMPL), OK: f.VMPL == s.VMPL,
		},
		{
			Code: CodeGuestPolicy, Name: "guest policy", Anchor: anchor, Policy: a.p.where(at + ".guest_policy.smt"),
			Got: "smt " + onOff(f.SMT), Want: "smt off", OK: !f.SMT || s.GuestPolicy.SMT,
		},
	}
	if s.GuestPolicy.SMT {
		checks[1].Want = "smt on or off"
	}
	if s.MinTCB != nil {
		checks = append(checks, a.floor(at, *s.MinTCB))
	}
	checks = append(checks, attest.Check{
		Code: CodeMeasurement, Name: "measurement", Anchor: anchor, Policy: a.p.where(at + ".measurement"),
		Got: hexOrNothing(f.Measurement), Want: hexes(s.Measurement), OK: contains(s.Measurement, f.Measurement),
	})
	if len(s.ChipIDs) > 0 {
		checks = append(checks, attest.Check{
			Code: CodePlatform, Name: "chip", Anchor: anchor, Policy: a.p.where(at + ".chip_ids"),
			Got: hexOrNothing(f.ChipID), Want: hexes(s.ChipIDs), OK: contains(s.ChipIDs, f.ChipID),
		})
	}
	return checks
}

// floor compares the firmware that is reported, the one that can no longer be
// rolled back, and the one that the guest was launched under: only the lowest
// of them says what an attacker could use.
func (a *appraisal) floor(at string, floor TCB) attest.Check {
	f := a.r.SNP
	c := attest.Check{
		Code: CodeTCBFloor, Name: "firmware", Anchor: anchorOf(a.r.Level),
		Want: "at least " + floor.String(), Policy: a.p.where(at + ".min_tcb"),
	}
	if a.r.Level != attest.LevelSoft && !knownProduct(f.Product) {
		c.Got = "versions of an unknown product " + quote(f.Product)
		return c
	}
	var got []string
	for _, v := range []struct {
		name   string
		packed uint64
	}{{"reported", f.ReportedTCB}, {"committed", f.CommittedTCB}, {"launch", f.LaunchTCB}} {
		if low := unpackTCB(f.Product, v.packed).below(floor); len(low) > 0 {
			got = append(got, fmt.Sprintf("%s %s", v.name, strings.Join(low, ", ")))
		}
	}
	if len(got) > 0 {
		c.Got = strings.Join(got, "; ")
		return c
	}
	c.OK, c.Got = true, lowest(f).String()
	return c
}

// lowest is the lowest version of each part of the firmware that a report names.
func lowest(f *attest.SNPFacts) TCB {
	t := unpackTCB(f.Product, f.ReportedTCB)
	return t.min(unpackTCB(f.Product, f.CommittedTCB)).min(unpackTCB(f.Product, f.LaunchTCB))
}

// contains reports whether value is one of list; no value never is.
func contains(list [][]byte, value []byte) bool {
	return len(value) > 0 && slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, value) })
}

func hexOrNothing(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	return hex.EncodeToString(b)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
