package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"apocryph/attest"
)

// TDX is what a reference set demands of an Intel TDX guest.
type TDX struct {
	// MRTD are the accepted launch measurements of the guest's firmware, 48 bytes each.
	MRTD [][]byte
	// MRSEAM are the accepted TDX modules, 48 bytes each; empty means any that
	// Intel's collateral vouches for.
	MRSEAM [][]byte
	// RTMRs are the accepted values of run-time registers: 0 has the firmware's
	// settings, 1 what was booted, 2 the kernel's command line and initial disk.
	RTMRs map[uint32][][]byte
	// Status are Intel's words for a platform's firmware that are accepted; empty
	// means UpToDate.
	Status []string
	// Grace accepts OutOfDate firmware whose level Intel dated no longer ago.
	Grace time.Duration
	// MinEvaluation is the lowest of Intel's rounds of updates that its word may
	// rest on ("tcbEvaluationDataNumber").
	MinEvaluation int
	// Advisories are the accepted ones where firmware is not up to date; empty
	// means any.
	Advisories []string
	// ConfigIDs, Owners and OwnerConfigs are the accepted values of MRCONFIGID,
	// MROWNER and MROWNERCONFIG, 48 bytes each; empty means any.
	ConfigIDs, Owners, OwnerConfigs [][]byte
	// SEPTVEDisable wants that pages which the host takes away raise no exceptions
	// in the guest.
	SEPTVEDisable bool
	// Platforms are the accepted machines; empty means any of Intel's.
	Platforms [][32]byte
}

const (
	// maxRTMR is the last run-time register (Intel TDX module 1.5, TDREPORT_STRUCT).
	maxRTMR = 3
	// podLogRTMR has the pod log.
	podLogRTMR = 3
	// MaxGrace bounds how long firmware with known holes may be accepted.
	MaxGrace = 90 * 24 * time.Hour

	statusUpToDate = "UpToDate"
)

// tcbStatuses are those of Intel's provisioning certification service that a
// policy may accept. Revoked is not among them.
var tcbStatuses = []string{
	statusUpToDate, "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
	"OutOfDate", "OutOfDateConfigurationNeeded",
}

// statuses are the accepted ones.
func (s *TDX) statuses() []string {
	if len(s.Status) == 0 {
		return []string{statusUpToDate}
	}
	return s.Status
}

// indexes are the registers, ascending.
func (s *TDX) indexes() []uint32 {
	return (&PCRs{Values: s.RTMRs}).indexes()
}

// tdx appraises a TDX quote.
func (a *appraisal) tdx() bool {
	f := a.r.TDX
	if f == nil {
		return a.missing("quote")
	}
	if f.PlatformID == [32]byte{} {
		return a.missing("platform")
	}
	a.v.Platform = hex.EncodeToString(f.PlatformID[:])
	if !a.check(a.flag(CodeDebug, "debugging", f.Debug)) || !a.check(a.flag(CodeMigratable, "migration", f.Migratable)) {
		return false
	}
	if _, ok := a.match(attest.TDX, a.tdxSet); !ok {
		return false
	}
	if f.TCBStatus != statusUpToDate {
		a.warn("%s: Intel says %s of this machine%s", WarnTCBStatus, oneLine(f.TCBStatus), advisories(f.Advisories))
	}
	return true
}

func advisories(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return ", see " + oneLine(strings.Join(list, ", "))
}

func (a *appraisal) tdxSet(at string, s *ReferenceSet) []attest.Check {
	f, want := a.r.TDX, s.TDX
	check := func(c attest.Check, field string) attest.Check {
		c.Anchor, c.Policy = attest.AnchorHardware, a.p.where(at+"."+field)
		return c
	}
	checks := []attest.Check{check(a.tcbStatus(want), "tcb"), check(attest.Check{
		Code: CodeMeasurement, Name: "measurement (mrtd)",
		Got: hexOrNothing(f.MRTD), Want: hexes(want.MRTD), OK: contains(want.MRTD, f.MRTD),
	}, "mrtd")}
	if len(want.MRSEAM) > 0 {
		checks = append(checks, check(attest.Check{
			Code: CodeMeasurement, Name: "tdx module (mrseam)",
			Got: hexOrNothing(f.MRSEAM), Want: hexes(want.MRSEAM), OK: contains(want.MRSEAM, f.MRSEAM),
		}, "mrseam"))
	}
	if want.MinEvaluation > 0 {
		checks = append(checks, check(attest.Check{
			Code: CodeTCBStatus, Name: "round of updates",
			Got: strconv.Itoa(f.TCBEvaluation), Want: "at least " + strconv.Itoa(want.MinEvaluation), OK: f.TCBEvaluation >= want.MinEvaluation,
		}, "tcb.min_evaluation"))
	}
	if len(want.Advisories) > 0 {
		strange := slices.DeleteFunc(slices.Clone(f.Advisories), func(s string) bool { return slices.Contains(want.Advisories, s) })
		checks = append(checks, check(attest.Check{
			Code: CodeTCBStatus, Name: "advisories",
			Got: orNone(strings.Join(f.Advisories, ", ")), Want: "none but " + strings.Join(want.Advisories, ", "), OK: len(strange) == 0,
		}, "tcb.advisories"))
	}
	if want.SEPTVEDisable {
		checks = append(checks, check(attest.Check{
			Code: CodePlatformSetup, Name: "exceptions of the host", Got: onOff(!f.SEPTVEDisable), Want: "off", OK: f.SEPTVEDisable,
		}, "sept_ve_disable"))
	}
	for _, l := range []struct {
		field string
		want  [][]byte
		got   []byte
	}{{"mr_config_ids", want.ConfigIDs, f.MRConfigID}, {"mr_owners", want.Owners, f.MROwner}, {"mr_owner_configs", want.OwnerConfigs, f.MROwnerConfig}} {
		if len(l.want) > 0 {
			checks = append(checks, check(attest.Check{
				Code: CodeHostData, Name: strings.TrimSuffix(l.field, "s"), Got: hexOrNothing(l.got), Want: hexes(l.want), OK: contains(l.want, l.got),
			}, l.field))
		}
	}
	checks = append(checks, a.boot(at, CodeMeasurement, attest.AnchorHardware, s.Boot, f.Boot)...)
	checks = append(checks, a.beside(at, s)...)
	for _, i := range want.indexes() {
		checks = append(checks, check(attest.Check{
			Code: CodeMeasurement, Name: fmt.Sprintf("rtmr %d", i),
			Got: hexOrNothing(f.RTMRs[i]), Want: hexes(want.RTMRs[i]), OK: contains(want.RTMRs[i], f.RTMRs[i]),
		}, fmt.Sprintf("rtmrs.%d", i)))
	}
	if len(want.Platforms) > 0 {
		checks = append(checks, check(attest.Check{
			Code: CodePlatform, Name: "platform",
			Got: fingerprint(f.PlatformID), Want: fingerprints(want.Platforms), OK: slices.Contains(want.Platforms, f.PlatformID),
		}, "platforms"))
	}
	return checks
}

// tcbStatus compares Intel's word with the accepted ones. Within the grace it
// says so, so that nobody takes old firmware for new.
func (a *appraisal) tcbStatus(want *TDX) attest.Check {
	f := a.r.TDX
	c := attest.Check{Code: CodeTCBStatus, Name: "firmware status", Got: quote(f.TCBStatus), Want: strings.Join(want.statuses(), ", ")}
	if slices.Contains(want.statuses(), f.TCBStatus) {
		c.OK = true
		return c
	}
	if want.Grace == 0 || f.TCBStatus != "OutOfDate" {
		return c
	}
	age := a.now.Sub(f.TCBDate)
	c.Code, c.Want = CodeTCBGrace, fmt.Sprintf("%s, or OutOfDate for at most %s", c.Want, short(want.Grace))
	c.Got = fmt.Sprintf("OutOfDate, at a level of %s", stamp(f.TCBDate))
	c.OK = !f.TCBDate.IsZero() && age >= 0 && age <= want.Grace
	return c
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

func fromTDX(f *attest.TDXFacts) ReferenceSet {
	t := &TDX{
		MRTD: [][]byte{slices.Clone(f.MRTD)}, MRSEAM: [][]byte{slices.Clone(f.MRSEAM)}, RTMRs: map[uint32][][]byte{},
		Platforms: [][32]byte{f.PlatformID},
	}
	for i, v := range f.RTMRs {
		if i != podLogRTMR && len(v) > 0 && !zero(v) {
			t.RTMRs[uint32(i)] = [][]byte{slices.Clone(v)}
		}
	}
	// Values that were left empty say nothing.
	pin := func(v []byte) [][]byte {
		if len(v) == 0 || zero(v) {
			return nil
		}
		return [][]byte{slices.Clone(v)}
	}
	t.ConfigIDs, t.Owners, t.OwnerConfigs = pin(f.MRConfigID), pin(f.MROwner), pin(f.MROwnerConfig)
	t.SEPTVEDisable, t.MinEvaluation = f.SEPTVEDisable, max(0, f.TCBEvaluation)
	return ReferenceSet{Name: setNameOf("tdx", f.PlatformID[:]), TEE: attest.TDX, TDX: t, Boot: fromBoot(f.Boot)}
}
