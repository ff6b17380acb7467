package policy

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Marshal is the policy as a commented file. It is canonical: [Parse] reads it
// back, and what it read marshals to the same bytes. The comments are fixed.
func (p *Policy) Marshal() []byte {
	w := &writer{}
	w.comment("What this verifier demands of evidence, read strictly: a field that is not", "known is refused. Check it with: publisher policy lint FILE")
	w.line(0, "version: %d", p.Version)
	if p.Name != "" {
		w.line(0, "name: %q", p.Name)
	}
	if p.Unverified {
		w.comment("The values below were copied from a provider. Compare them with a build of", "your own, then remove this line.")
		w.line(0, "unverified: true")
	}
	w.comment("Kinds of evidence that are accepted, and no others.")
	w.line(0, "trust:")
	var levels []string
	for _, l := range p.Trust.Levels {
		levels = append(levels, string(l))
	}
	w.line(1, "levels: [%s]", strings.Join(levels, ", "))
	w.list(1, "ek_roots", prints(p.Trust.EKRoots))
	w.comment("How long a verdict holds.")
	w.line(0, "freshness:")
	w.line(1, "max_age: %s", short(p.Freshness.MaxAge))
	if len(p.Reference) > 0 {
		w.comment("A machine must match any one of these sets in full.")
		w.line(0, "reference:")
	}
	for i := range p.Reference {
		w.set(&p.Reference[i])
	}
	if o := p.Offer; o != nil {
		w.comment("What an offer may cost.")
		w.line(0, "offer:")
		w.line(1, "max_price_per_hour: %q", o.MaxPricePerHour)
		w.line(1, "asset: %q", o.Asset)
	}
	if p.Storage.Protected {
		w.comment("Data at rest must be unreadable to the owner of the disk.")
		w.line(0, "storage:")
		w.line(1, "protected: true")
	}
	w.workload(p.Workload)
	w.provenance(p.Provenance)
	if p.Transparency.RequireInclusion {
		w.comment("The provider's transparency log must show this evidence.")
		w.line(0, "transparency:")
		w.line(1, "require_inclusion: true")
	}
	if len(p.Dev.SoftCA) > 0 {
		w.comment("NOT SECURE: roots of software devices, for development only.")
		w.line(0, "dev:")
		w.list(1, "soft_ca", prints(p.Dev.SoftCA))
	}
	return []byte(w.b.String())
}

type writer struct{ b strings.Builder }

func (w *writer) comment(lines ...string) {
	if w.b.Len() > 0 {
		w.b.WriteByte('\n')
	}
	for _, l := range lines {
		w.line(0, "# %s", l)
	}
}

func (w *writer) line(depth int, format string, args ...any) {
	w.b.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&w.b, format, args...)
	w.b.WriteByte('\n')
}

func (w *writer) list(depth int, name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.line(depth, "%s:", name)
	for _, v := range values {
		w.line(depth+1, "- %s", v)
	}
}

func (w *writer) set(s *ReferenceSet) {
	w.line(1, "- name: %q", s.Name)
	w.line(2, "tee: %s", s.TEE)
	w.list(2, "measurement", plain(s.Measurement))
	w.list(2, "chip_ids", plain(s.ChipIDs))
	if s.MinTCB != nil {
		w.line(2, "min_tcb: %s", s.MinTCB)
	}
	w.guestPolicy(s.GuestPolicy)
	if s.VMPL != 0 {
		w.line(2, "vmpl: %d", s.VMPL)
	}
	if s.SNP != nil {
		w.snp(s.SNP)
	}
	if q := s.PCRs; q != nil {
		w.line(2, "pcrs:")
		w.line(3, "bank: %s", q.Bank)
		w.line(3, "values:")
		w.registers(4, q.Values)
	}
	w.list(2, "ek", prints(s.EK))
	w.list(2, "aks", plain(s.AKs))
	if s.TDX != nil {
		w.tdx(s.TDX)
	}
	if s.Boot != nil {
		w.boot(s.Boot)
	}
}

func (w *writer) registers(depth int, values map[uint32][][]byte) {
	for _, i := range (&PCRs{Values: values}).indexes() {
		if len(values[i]) == 0 {
			// A fault must stay one, not turn into a demand less.
			w.line(depth, "%d: []", i)
		}
		w.list(depth, fmt.Sprint(i), plain(values[i]))
	}
}

func prints(list [][32]byte) []string {
	var s []string
	for _, f := range list {
		s = append(s, fingerprint(f))
	}
	return s
}

// plain is each value in quotes: digits alone would look like a number.
func plain(list [][]byte) []string {
	var s []string
	for _, b := range list {
		s = append(s, `"`+hex.EncodeToString(b)+`"`)
	}
	return s
}

// short is a duration without the units that are zero: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
