package policy

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// snpFields are the fields of a set that are read into [SNP].
var snpFields = []string{
	"products", "host_data", "min_committed_tcb", "min_launch_tcb", "min_firmware", "id_keys", "author_keys", "min_guest_svn", "mitigations", "platform", "require_crl",
}

// snp reads those fields, nil where none is there.
func (d *decoder) snp(f map[string]*yaml.Node, path string) *SNP {
	var s SNP
	any := false
	for _, name := range snpFields {
		any = any || f[name] != nil
	}
	if !any {
		return nil
	}
	s.Products = d.texts(f["products"], path+".products")
	s.Platform = d.texts(f["platform"], path+".platform")
	s.HostData = d.values(f["host_data"], path+".host_data", "64 hexadecimal digits")
	s.IDKeys = d.values(f["id_keys"], path+".id_keys", "96 hexadecimal digits")
	s.AuthorKeys = d.values(f["author_keys"], path+".author_keys", "96 hexadecimal digits")
	if v := f["min_committed_tcb"]; v != nil {
		s.MinCommittedTCB = d.tcb(v, path+".min_committed_tcb")
	}
	if v := f["min_launch_tcb"]; v != nil {
		s.MinLaunchTCB = d.tcb(v, path+".min_launch_tcb")
	}
	if v := f["min_firmware"]; v != nil {
		s.MinFirmware, _ = d.text(v, path+".min_firmware")
	}
	if v := f["require_crl"]; v != nil {
		s.RequireCRL = d.boolean(v, path+".require_crl")
	}
	if v := f["min_guest_svn"]; v != nil {
		s.MinGuestSVN, _ = d.integer(v, path+".min_guest_svn", 1, maxGuestSVN)
	}
	if v := f["mitigations"]; v != nil {
		s.Mitigations, _ = d.integer(v, path+".mitigations", 1, maxMitigations)
	}
	return &s
}

func (d *decoder) guestPolicy(n *yaml.Node, path string) GuestPolicy {
	var g GuestPolicy
	f := d.mapping(n, path, "smt", "cxl", "min_abi", "require")
	if v := f["smt"]; v != nil {
		g.SMT = d.boolean(v, path+".smt")
	}
	if v := f["cxl"]; v != nil {
		g.CXL = d.boolean(v, path+".cxl")
	}
	if v := f["min_abi"]; v != nil {
		g.MinABI, _ = d.text(v, path+".min_abi")
	}
	g.Require = d.texts(f["require"], path+".require")
	return g
}

const hostDataSize = 32

// productLines are those whose versions this program can read.
var productLines = []string{"Milan", "Genoa", "Turin"}

func (v *validator) snpMore(s *ReferenceSet, at string) {
	g := s.GuestPolicy
	if _, ok := versionParts(g.MinABI, 2); g.MinABI != "" && !ok {
		v.fault(at+".guest_policy.min_abi", quote(g.MinABI), `a version such as "1.55"`)
	}
	v.words(at+".guest_policy.require", g.Require, words(guestDemands))
	m := s.SNP
	if m == nil {
		return
	}
	v.words(at+".products", m.Products, productLines)
	v.words(at+".platform", m.Platform, words(platformDemands))
	v.sized(at+".host_data", m.HostData, hostDataSize)
	v.sized(at+".id_keys", m.IDKeys, measurementSize)
	v.sized(at+".author_keys", m.AuthorKeys, measurementSize)
	if _, ok := versionParts(m.MinFirmware, 3); m.MinFirmware != "" && !ok {
		v.fault(at+".min_firmware", quote(m.MinFirmware), `a version such as "1.55.21"`)
	}
	if m.MinGuestSVN < 0 || m.MinGuestSVN > maxGuestSVN {
		v.fault(at+".min_guest_svn", fmt.Sprint(m.MinGuestSVN), fmt.Sprintf("1 to %d", maxGuestSVN))
	}
	if m.Mitigations < 0 || m.Mitigations > maxMitigations {
		v.fault(at+".mitigations", fmt.Sprint(m.Mitigations), fmt.Sprintf("1 to %d", maxMitigations))
	}
	// The ID block names the version: without its signature the host may write any.
	if m.MinGuestSVN > 0 && len(m.IDKeys) == 0 {
		v.fault(at+".min_guest_svn", "a version that nobody signs", "id_keys beside it")
	}
}

// words refuses what is none of the known words, and a word that comes twice.
func (v *validator) words(field string, list, known []string) {
	for i, w := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		v.oneOf(at, w, known)
		for _, other := range list[:i] {
			if other == w {
				v.fault(at, quote(w)+" a second time", "each word once")
			}
		}
	}
}

func (w *writer) guestPolicy(g GuestPolicy) {
	if g.empty() {
		return
	}
	var parts []string
	if g.SMT {
		parts = append(parts, "smt: true")
	}
	if g.CXL {
		parts = append(parts, "cxl: true")
	}
	if g.MinABI != "" {
		parts = append(parts, fmt.Sprintf("min_abi: %q", g.MinABI))
	}
	if len(g.Require) > 0 {
		parts = append(parts, "require: ["+strings.Join(g.Require, ", ")+"]")
	}
	w.line(2, "guest_policy: {%s}", strings.Join(parts, ", "))
}

func (w *writer) snp(s *SNP) {
	word := func(name string, list []string) {
		if len(list) > 0 {
			w.line(2, "%s: [%s]", name, strings.Join(list, ", "))
		}
	}
	word("products", s.Products)
	if s.MinCommittedTCB != nil {
		w.line(2, "min_committed_tcb: %s", s.MinCommittedTCB)
	}
	if s.MinLaunchTCB != nil {
		w.line(2, "min_launch_tcb: %s", s.MinLaunchTCB)
	}
	if s.MinFirmware != "" {
		w.line(2, "min_firmware: %q", s.MinFirmware)
	}
	if s.Mitigations != 0 {
		w.line(2, "mitigations: %d", s.Mitigations)
	}
	word("platform", s.Platform)
	if s.RequireCRL {
		w.line(2, "require_crl: true")
	}
	w.list(2, "host_data", plain(s.HostData))
	w.list(2, "id_keys", plain(s.IDKeys))
	w.list(2, "author_keys", plain(s.AuthorKeys))
	if s.MinGuestSVN != 0 {
		w.line(2, "min_guest_svn: %d", s.MinGuestSVN)
	}
}

// demanded are the texts of demanded words.
func demanded(list []string, known []demand) string {
	var s []string
	for _, d := range known {
		for _, w := range list {
			if w == d.word {
				s = append(s, d.text)
			}
		}
	}
	return strings.Join(s, ", ")
}

func (s *SNP) explain(say func(field, format string, args ...any)) {
	if s == nil {
		return
	}
	if len(s.Products) > 0 {
		say("products", "the processor is of the line %s", strings.Join(s.Products, " or "))
	}
	if s.MinCommittedTCB != nil {
		say("min_committed_tcb", "but for the firmware that cannot be rolled back: %s", s.MinCommittedTCB)
	}
	if s.MinLaunchTCB != nil {
		say("min_launch_tcb", "but for the firmware at launch: %s", s.MinLaunchTCB)
	}
	if s.MinFirmware != "" {
		say("min_firmware", "the SEV firmware is at least %s", s.MinFirmware)
	}
	if s.Mitigations != 0 {
		say("mitigations", "the mitigations %#x were on at launch and are now", s.Mitigations)
	}
	if len(s.Platform) > 0 {
		say("platform", "of the machine: %s", demanded(s.Platform, platformDemands))
	}
	if s.RequireCRL {
		say("require_crl", "AMD's revocation list came along and is before its next update")
	}
	if len(s.HostData) > 0 {
		say("host_data", "the host's data at launch is %s", alternatives(s.HostData))
	}
	if len(s.IDKeys) > 0 {
		say("id_keys", "the launch was signed by a key with digest %s", alternatives(s.IDKeys))
	}
	if len(s.AuthorKeys) > 0 {
		say("author_keys", "which was certified by the author key %s", alternatives(s.AuthorKeys))
	}
	if s.MinGuestSVN > 0 {
		say("min_guest_svn", "the signed version of the guest is at least %d", s.MinGuestSVN)
	}
}

func (g GuestPolicy) explain(say func(field, format string, args ...any)) {
	if g.SMT {
		say("guest_policy", "simultaneous multithreading may be on")
	} else {
		say("guest_policy", "simultaneous multithreading is off")
	}
	if g.CXL {
		say("guest_policy.cxl", "memory may sit behind a CXL link")
	}
	if g.MinABI != "" {
		say("guest_policy.min_abi", "the guest was content with no firmware interface below %s", g.MinABI)
	}
	if len(g.Require) > 0 {
		say("guest_policy.require", "the guest demanded at launch: %s", demanded(g.Require, guestDemands))
	}
}
