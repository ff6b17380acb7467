package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"apocryph/attest"
)

func (v *validator) set(s *ReferenceSet, at string) {
	switch s.TEE {
	case attest.SEVSNP, attest.Soft:
		v.snpSet(s, at)
	case attest.TPM2:
		v.tpmSet(s, at)
	case attest.TDX:
		v.tdxSet(s, at)
	default:
		v.fault(at+".tee", quote(string(s.TEE)), "sev-snp, tdx, tpm2 or soft")
		return
	}
	v.sized(at+".aks", s.AKs, AKNameSize)
	if s.PCRs != nil {
		v.pcrs(s.PCRs, at+".pcrs")
	}
	if l := s.level(); len(v.p.Trust.Levels) > 0 && !v.p.accepts(l) {
		v.fault(at+".tee", fmt.Sprintf("a set that proves %s", l), fmt.Sprintf("%s in trust.levels, or no such set", l))
	}
}

func (v *validator) snpSet(s *ReferenceSet, at string) {
	if len(s.Measurement) == 0 {
		v.fault(at+".measurement", "nothing", "at least one launch measurement: a set without one accepts any software")
	}
	v.sized(at+".measurement", s.Measurement, measurementSize)
	v.sized(at+".chip_ids", s.ChipIDs, chipIDSize)
	if s.VMPL < 0 || s.VMPL > maxVMPL {
		v.fault(at+".vmpl", strconv.Itoa(s.VMPL), "0 to 3")
	}
	v.snpMore(s, at)
	v.boot(s, at+".boot")
	v.foreign(at, s, attest.SEVSNP)
}

// foreign refuses the fields of other kinds of sets: a demand that is never
// looked at would be none.
func (v *validator) foreign(at string, s *ReferenceSet, kind attest.Type) {
	t := s.TDX
	if t == nil {
		t = &TDX{}
	}
	m := s.SNP
	if m == nil {
		m = &SNP{}
	}
	for _, f := range []struct {
		name string
		set  bool
		of   attest.Type
	}{
		{"measurement", len(s.Measurement) > 0, attest.SEVSNP},
		{"chip_ids", len(s.ChipIDs) > 0, attest.SEVSNP},
		{"min_tcb", s.MinTCB != nil, attest.SEVSNP},
		{"guest_policy", !s.GuestPolicy.empty(), attest.SEVSNP},
		{"vmpl", s.VMPL != 0, attest.SEVSNP},
		{"products", len(m.Products) > 0, attest.SEVSNP},
		{"host_data", len(m.HostData) > 0, attest.SEVSNP},
		{"min_committed_tcb", m.MinCommittedTCB != nil, attest.SEVSNP},
		{"min_launch_tcb", m.MinLaunchTCB != nil, attest.SEVSNP},
		{"min_firmware", m.MinFirmware != "", attest.SEVSNP},
		{"id_keys", len(m.IDKeys) > 0, attest.SEVSNP},
		{"author_keys", len(m.AuthorKeys) > 0, attest.SEVSNP},
		{"min_guest_svn", m.MinGuestSVN != 0, attest.SEVSNP},
		{"mitigations", m.Mitigations != 0, attest.SEVSNP},
		{"platform", len(m.Platform) > 0, attest.SEVSNP},
		{"require_crl", m.RequireCRL, attest.SEVSNP},
		{"ek", len(s.EK) > 0, attest.TPM2},
		{"mrtd", len(t.MRTD) > 0, attest.TDX},
		{"mrseam", len(t.MRSEAM) > 0, attest.TDX},
		{"rtmrs", len(t.RTMRs) > 0, attest.TDX},
		{"tcb", t.hasTCB(), attest.TDX},
		{"mr_config_ids", len(t.ConfigIDs) > 0, attest.TDX},
		{"mr_owners", len(t.Owners) > 0, attest.TDX},
		{"mr_owner_configs", len(t.OwnerConfigs) > 0, attest.TDX},
		{"sept_ve_disable", t.SEPTVEDisable, attest.TDX},
		{"platforms", len(t.Platforms) > 0, attest.TDX},
	} {
		if f.set && f.of != kind {
			v.fault(at+"."+f.name, "a field of "+string(f.of), fmt.Sprintf("no such field in a set for %s", s.TEE))
		}
	}
}

// oneOf refuses a word that is none of a few, and guesses which was meant.
func (v *validator) oneOf(field, got string, words []string) {
	if slices.Contains(words, got) {
		return
	}
	want := "one of " + strings.Join(words, ", ")
	if near := nearest(got, words); near != "" {
		want = near
	}
	v.fault(field, quote(got), want)
}

func (v *validator) sized(field string, list [][]byte, size int) {
	for i, b := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case len(b) != size:
			v.fault(at, fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("%d bytes, %d hexadecimal digits", size, 2*size))
		case zero(b):
			v.fault(at, "all zeros", "a value: zeros stand for one that was withheld")
		}
	}
}

func (v *validator) tpmSet(s *ReferenceSet, at string) {
	v.foreign(at, s, attest.TPM2)
	v.fingerprints(at+".ek", s.EK)
	v.boot(s, at+".boot")
	if len(s.EK) == 0 && len(v.p.Trust.EKRoots) == 0 && len(s.AKs) == 0 {
		v.fault(at+".ek", "nothing", "a pinned machine here, or a root in trust.ek_roots: else any program can pretend to be a TPM")
	}
}

func (v *validator) pcrs(q *PCRs, at string) {
	size, known := bankSizes[q.Bank]
	if !known {
		v.fault(at+".bank", quote(q.Bank), "sha256 or sha384")
	}
	if len(q.Values) == 0 {
		v.fault(at+".values", "nothing", "at least one register and its values")
	}
	for _, i := range q.indexes() {
		field := fmt.Sprintf("%s.values.%d", at, i)
		switch {
		case i > maxPCR:
			v.fault(field, fmt.Sprintf("register %d", i), "0 to 23")
		case resettable(i):
			v.fault(field, fmt.Sprintf("register %d", i), "another one: any program can reset 16 and 23, so they prove nothing")
		case len(q.Values[i]) == 0:
			v.fault(field, "nothing", "at least one value")
		}
		for j, b := range q.Values[i] {
			if known && len(b) != size {
				v.fault(fmt.Sprintf("%s[%d]", field, j), fmt.Sprintf("%d bytes", len(b)),
					fmt.Sprintf("%d bytes, %d hexadecimal digits, for bank %s", size, 2*size, q.Bank))
			}
		}
	}
}

// resettable registers can be set back by any program (TCG PC Client Platform
// TPM Profile, table of PCR attributes: debug and application support).
func resettable(pcr uint32) bool { return pcr == 16 || pcr == 23 }

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
