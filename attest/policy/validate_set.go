package policy

import (
	"bytes"
	"fmt"
	"strconv"

	"apocryph/attest"
)

func (v *validator) set(s *ReferenceSet, at string) {
	switch s.TEE {
	case attest.SEVSNP, attest.Soft:
		v.snpSet(s, at)
	case attest.TPM2:
		v.tpmSet(s, at)
	case attest.TDX:
		v.fault(at+".tee", quote(string(s.TEE)), "sev-snp, tpm2 or soft: reference values of tdx are not known to this version")
		return
	default:
		v.fault(at+".tee", quote(string(s.TEE)), "sev-snp, tpm2 or soft")
		return
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
	if s.PCRs != nil {
		v.fault(at+".pcrs", "a field of tpm2", fmt.Sprintf("no such field in a set for %s", s.TEE))
	}
	if len(s.EK) > 0 {
		v.fault(at+".ek", "a field of tpm2", fmt.Sprintf("no such field in a set for %s", s.TEE))
	}
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
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"measurement", len(s.Measurement) > 0},
		{"chip_ids", len(s.ChipIDs) > 0},
		{"min_tcb", s.MinTCB != nil},
		{"guest_policy", s.GuestPolicy != GuestPolicy{}},
		{"vmpl", s.VMPL != 0},
	} {
		if f.set {
			v.fault(at+"."+f.name, "a field of sev-snp", "no such field in a set for tpm2")
		}
	}
	v.fingerprints(at+".ek", s.EK)
	if len(s.EK) == 0 && len(v.p.Trust.EKRoots) == 0 {
		v.fault(at+".ek", "nothing", "a pinned machine here, or a root in trust.ek_roots: else any program can pretend to be a TPM")
	}
	if s.PCRs != nil {
		v.pcrs(s.PCRs, at+".pcrs")
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
