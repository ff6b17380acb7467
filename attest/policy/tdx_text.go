package policy

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"apocryph/attest"
)

// tdxFields are the fields of a set that only one for tdx has.
var tdxFields = []string{"mrtd", "mrseam", "rtmrs", "tcb", "platforms", "mr_config_ids", "mr_owners", "mr_owner_configs", "sept_ve_disable"}

// tdx reads those fields, nil where none is there.
func (d *decoder) tdx(f map[string]*yaml.Node, path string) *TDX {
	var t TDX
	any := false
	for _, name := range tdxFields {
		any = any || f[name] != nil
	}
	if !any {
		return nil
	}
	const want = "96 hexadecimal digits"
	t.MRTD = d.values(f["mrtd"], path+".mrtd", want)
	t.MRSEAM = d.values(f["mrseam"], path+".mrseam", want)
	t.Platforms = d.fingerprints(f["platforms"], path+".platforms")
	t.ConfigIDs = d.values(f["mr_config_ids"], path+".mr_config_ids", want)
	t.Owners = d.values(f["mr_owners"], path+".mr_owners", want)
	t.OwnerConfigs = d.values(f["mr_owner_configs"], path+".mr_owner_configs", want)
	if v := f["sept_ve_disable"]; v != nil {
		t.SEPTVEDisable = d.boolean(v, path+".sept_ve_disable")
	}
	if v := f["rtmrs"]; v != nil {
		t.RTMRs = d.registers(v, path+".rtmrs", maxRTMR, want)
	}
	if v := f["tcb"]; v != nil {
		at := path + ".tcb"
		tcb := d.mapping(v, at, "status", "grace", "min_evaluation", "advisories")
		t.Advisories = d.texts(tcb["advisories"], at+".advisories")
		if e := tcb["min_evaluation"]; e != nil {
			t.MinEvaluation, _ = d.integer(e, at+".min_evaluation", 1, maxEvaluation)
		}
		d.list(tcb["status"], at+".status", func(n *yaml.Node, path string) {
			s, _ := d.text(n, path)
			t.Status = append(t.Status, s)
		})
		if g := tcb["grace"]; g != nil {
			t.Grace = d.duration(g, at+".grace")
		}
	}
	return &t
}

// maxEvaluation bounds the number of Intel's rounds of updates; there have been
// about twenty.
const maxEvaluation = 1 << 20

var advisory = regexp.MustCompile(`^INTEL-[A-Z]{2}-[0-9]{5}$`)

func (t *TDX) hasTCB() bool {
	return len(t.Status) > 0 || t.Grace != 0 || t.MinEvaluation != 0 || len(t.Advisories) > 0
}

func (v *validator) tdxSet(s *ReferenceSet, at string) {
	t := s.TDX
	if t == nil {
		t = &TDX{}
	}
	if len(t.MRTD) == 0 {
		v.fault(at+".mrtd", "nothing", "at least one launch measurement: a set without one accepts any software")
	}
	v.sized(at+".mrtd", t.MRTD, measurementSize)
	v.sized(at+".mrseam", t.MRSEAM, measurementSize)
	v.fingerprints(at+".platforms", t.Platforms)
	v.sized(at+".mr_config_ids", t.ConfigIDs, measurementSize)
	v.sized(at+".mr_owners", t.Owners, measurementSize)
	v.sized(at+".mr_owner_configs", t.OwnerConfigs, measurementSize)
	v.boot(s, at+".boot")
	if t.MinEvaluation < 0 || t.MinEvaluation > maxEvaluation {
		v.fault(at+".tcb.min_evaluation", fmt.Sprint(t.MinEvaluation), fmt.Sprintf("1 to %d", maxEvaluation))
	}
	for i, id := range t.Advisories {
		if !advisory.MatchString(id) {
			v.fault(fmt.Sprintf("%s.tcb.advisories[%d]", at, i), quote(id), "a number such as INTEL-SA-00837")
		}
	}
	for _, i := range t.indexes() {
		field := fmt.Sprintf("%s.rtmrs.%d", at, i)
		switch {
		case i > maxRTMR:
			v.fault(field, fmt.Sprintf("register %d", i), "0 to 3")
		case len(t.RTMRs[i]) == 0:
			v.fault(field, "nothing", "at least one value")
		}
		v.sized(field, t.RTMRs[i], measurementSize)
	}
	for i, st := range t.Status {
		v.oneOf(fmt.Sprintf("%s.tcb.status[%d]", at, i), st, tcbStatuses)
	}
	if t.Grace < 0 || t.Grace > MaxGrace {
		v.fault(at+".tcb.grace", t.Grace.String(), "0s to "+short(MaxGrace))
	}
	v.foreign(at, s, attest.TDX)
}

func (w *writer) tdx(t *TDX) {
	w.list(2, "mrtd", plain(t.MRTD))
	w.list(2, "mrseam", plain(t.MRSEAM))
	if len(t.RTMRs) > 0 {
		w.line(2, "rtmrs:")
		w.registers(3, t.RTMRs)
	}
	if t.hasTCB() {
		w.line(2, "tcb:")
		if len(t.Status) > 0 {
			w.line(3, "status: [%s]", strings.Join(t.Status, ", "))
		}
		if t.Grace != 0 {
			w.line(3, "grace: %s", short(t.Grace))
		}
		if t.MinEvaluation != 0 {
			w.line(3, "min_evaluation: %d", t.MinEvaluation)
		}
		if len(t.Advisories) > 0 {
			w.line(3, "advisories: [%s]", strings.Join(t.Advisories, ", "))
		}
	}
	w.list(2, "mr_config_ids", plain(t.ConfigIDs))
	w.list(2, "mr_owners", plain(t.Owners))
	w.list(2, "mr_owner_configs", plain(t.OwnerConfigs))
	if t.SEPTVEDisable {
		w.line(2, "sept_ve_disable: true")
	}
	w.list(2, "platforms", prints(t.Platforms))
}

func (e *explainer) tdxSet(t *TDX, say func(field, format string, args ...any)) {
	if t == nil {
		return // a fault that was told
	}
	say("mrtd", "what was launched measures %s", alternatives(t.MRTD))
	if len(t.MRSEAM) > 0 {
		say("mrseam", "the TDX module is %s", alternatives(t.MRSEAM))
	} else {
		say("mrseam", "the TDX module may be any that Intel vouches for")
	}
	for _, i := range t.indexes() {
		say(fmt.Sprintf("rtmrs.%d", i), "run-time register %d (%s) is %s", i, rtmrUse[i], alternatives(t.RTMRs[i]))
	}
	say("tcb.status", "Intel says of its firmware: %s", strings.Join(t.statuses(), " or "))
	if t.Grace > 0 {
		say("tcb.grace", "or OutOfDate, at a level that is at most %s old", short(t.Grace))
	}
	if t.MinEvaluation > 0 {
		say("tcb.min_evaluation", "by its round of updates %d or a later one", t.MinEvaluation)
	}
	if len(t.Advisories) > 0 {
		say("tcb.advisories", "with no open advisories but %s", strings.Join(t.Advisories, ", "))
	}
	for _, l := range []struct {
		field, what string
		list        [][]byte
	}{{"mr_config_ids", "configuration", t.ConfigIDs}, {"mr_owners", "owner", t.Owners}, {"mr_owner_configs", "owner's configuration", t.OwnerConfigs}} {
		if len(l.list) > 0 {
			say(l.field, "the guest's %s is %s", l.what, alternatives(l.list))
		}
	}
	if t.SEPTVEDisable {
		say("sept_ve_disable", "pages that the host takes away raise no exceptions in the guest")
	}
	if len(t.Platforms) > 0 {
		say("platforms", "the machine is %s", strings.Join(prints(t.Platforms), " or "))
	} else {
		say("platforms", "the machine may be any of Intel's")
	}
}

func (l *linter) tdxSet(at string, t *TDX) {
	if t == nil {
		return
	}
	if _, ok := t.RTMRs[podLogRTMR]; ok {
		l.add(SeverityWarning, at+".rtmrs.3", "the pod log is extended into this register, so a fixed value soon stops matching")
	}
	for i := range uint32(podLogRTMR) {
		if _, ok := t.RTMRs[i]; !ok {
			l.add(SeverityWarning, at+".rtmrs", "register %d (%s) is not pinned", i, rtmrUse[i])
		}
	}
	for i, s := range t.Status {
		if strings.HasPrefix(s, "OutOfDate") {
			l.add(SeverityError, fmt.Sprintf("%s.tcb.status[%d]", at, i), "no firmware floor: firmware with known holes would be accepted for ever; use tcb.grace")
		}
	}
	if t.Grace > 0 {
		l.add(SeverityWarning, at+".tcb.grace", "firmware with known holes is accepted for %s", short(t.Grace))
	}
}

// rtmrUse is what is measured into a register (Intel TDX Virtual Firmware
// Design Guide, 8.1).
var rtmrUse = map[uint32]string{0: "firmware settings", 1: "boot loader and kernel", 2: "command line and initial disk", 3: "pod log"}
