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
	}
	checks = append(checks, a.guestPolicy(at, s.GuestPolicy)...)
	checks = append(checks, a.floors(at, s)...)
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
	checks = append(checks, a.snpMore(at, s.SNP)...)
	return append(checks, a.beside(at, s)...)
}

// floors compares the firmware that is reported, the one that can no longer be
// rolled back, and the one that the guest was launched under: only the lowest
// of them says what an attacker could use. Those with a floor of their own are
// checks of their own.
func (a *appraisal) floors(at string, s *ReferenceSet) []attest.Check {
	f := a.r.SNP
	reported, committed, launch := s.floors()
	groups := []struct {
		field, name string
		floor       *TCB
		versions    []version
	}{
		{"min_tcb", "firmware", reported, []version{{"reported", f.ReportedTCB}}},
		{"min_committed_tcb", "committed firmware", committed, []version{{"committed", f.CommittedTCB}}},
		{"min_launch_tcb", "launch firmware", launch, []version{{"launch", f.LaunchTCB}}},
	}
	for i := range groups[1:] {
		if g := &groups[i+1]; g.floor == s.MinTCB {
			groups[0].versions = append(groups[0].versions, g.versions...)
			g.floor = nil
		}
	}
	var checks []attest.Check
	for _, g := range groups {
		if g.floor != nil {
			checks = append(checks, a.floor(at+"."+g.field, g.name, *g.floor, g.versions))
		}
	}
	return checks
}

// version is a firmware version in AMD's packed form.
type version struct {
	name   string
	packed uint64
}

func (a *appraisal) floor(field, name string, floor TCB, versions []version) attest.Check {
	f := a.r.SNP
	c := attest.Check{
		Code: CodeTCBFloor, Name: name, Anchor: anchorOf(a.r.Level),
		Want: "at least " + floor.String(), Policy: a.p.where(field),
	}
	if a.r.Level != attest.LevelSoft && !knownProduct(f.Product) {
		c.Got = "versions of an unknown product " + quote(f.Product)
		return c
	}
	var got []string
	lowest := TCB{255, 255, 255, 255, 255}
	for _, v := range versions {
		t := unpackTCB(f.Product, v.packed)
		if low := t.below(floor); len(low) > 0 {
			got = append(got, fmt.Sprintf("%s %s", v.name, strings.Join(low, ", ")))
		}
		lowest = lowest.min(t)
	}
	if len(got) > 0 {
		c.Got = strings.Join(got, "; ")
		return c
	}
	c.OK, c.Got = true, lowest.String()
	return c
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
