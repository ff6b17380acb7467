package bootlog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// Boot is what a log says of registers that it was replayed against.
type Boot struct {
	bank  bank
	kind  kind
	regs  map[int][]Measurement
	facts Facts
}

// kind is which registers a log's numbers mean.
type kind struct {
	name string
	// first is the log's number of register 0, last the highest register.
	first, last int
}

var (
	pcrs = kind{name: "pcr", last: maxRegister}
	// rtmrs: the log of a TD counts MRTD, which no event extends at run time, as 0
	// (UEFI 2.10, 38.4.1: the CC measurement register index).
	rtmrs = kind{name: "rtmr", first: 1, last: 3}
)

func (k kind) field(i int) string { return fmt.Sprintf("%s[%d]", k.name, i) }

// Replay compares the log with PCR values that a quote has proven. Each of them
// must be exactly what its events extend it to. One without events must be what
// a TPM starts it with: zeros, or all ones for 17 to 22 where there was no
// dynamic launch. Leave out registers that something extends after the firmware
// and the loaders have ended, such as 10 (IMA), 11 (systemd-pcrphase) and that
// of the pod log: see [Log.Register] for the value that these begin with.
//
// The bank is sha256, sha384 or sha512; a log without it is "bootlog.bank".
// Differing registers are untrusted "bootlog.replay" with one fault each.
func (l *Log) Replay(bank string, values map[int][]byte) (*Boot, error) {
	b, err := l.strong(bank)
	if err != nil {
		return nil, err
	}
	return l.replay(b, pcrs, values)
}

// ReplayRTMR is [Log.Replay] for the log of a TD's CCEL area and RTMR 0 to 3,
// of 48 bytes each. Leave out 3 where the pod log extends it.
func (l *Log) ReplayRTMR(values map[int][]byte) (*Boot, error) {
	b, err := l.strong("sha384")
	if err != nil {
		return nil, err
	}
	return l.replay(b, rtmrs, values)
}

// Register returns what the log alone makes of a PCR: where a pod log begins
// that extends a register which boot has used, as shim does with 14. It proves
// nothing until a quote shows a value that is reached from it.
func (l *Log) Register(bank string, pcr int) ([]byte, error) {
	b, err := l.strong(bank)
	if err != nil {
		return nil, err
	}
	if pcr < 0 || pcr > maxRegister {
		return nil, status.New(status.InvalidArgument, "bootlog.replay", "pcr[%d], want 0 to %d", pcr, maxRegister)
	}
	v, ms := l.extend(b, pcrs, pcr)
	if len(ms) == 0 && launched(pcr) {
		return nil, status.New(status.InvalidArgument, "bootlog.replay", "pcr[%d] has no events: its value depends on a dynamic launch", pcr)
	}
	return v, nil
}

func (l *Log) replay(b bank, k kind, values map[int][]byte) (boot *Boot, err error) {
	defer guard(&err)
	if len(values) == 0 {
		return nil, status.New(status.InvalidArgument, "bootlog.replay", "no registers to compare the boot log with")
	}
	boot = &Boot{bank: b, kind: k, regs: make(map[int][]Measurement, len(values))}
	var faults []status.Fault
	for _, i := range slices.Sorted(maps.Keys(values)) {
		field, got := k.field(i), values[i]
		if i < 0 || i > k.last {
			faults = append(faults, status.Fault{Field: field, Want: fmt.Sprintf("a register from 0 to %d", k.last)})
			continue
		}
		if len(got) != b.hash.Size() {
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%d bytes", len(got)), Want: fmt.Sprintf("%d bytes", b.hash.Size())})
			continue
		}
		want, ms := l.extend(b, k, i)
		switch {
		case bytes.Equal(got, want):
			boot.regs[i] = ms
		case len(ms) > 0:
			faults = append(faults, status.Fault{Field: field, Got: hex.EncodeToString(got), Want: hex.EncodeToString(want)})
		case k == pcrs && launched(i) && bytes.Equal(got, bytes.Repeat([]byte{0xff}, len(got))):
			boot.regs[i] = nil
		default:
			faults = append(faults, status.Fault{Field: field, Got: hex.EncodeToString(got), Want: "its start value, for it has no events in the boot log"})
		}
	}
	if len(faults) > 0 {
		e := status.New(status.Untrusted, "bootlog.replay", "%d of %d registers are not what the boot log makes of them: %s",
			len(faults), len(values), faults[0])
		e.Faults = faults
		return nil, e.WithHint("the log is of another boot, or was changed, or something extended these registers after the firmware and the loaders")
	}
	for _, ms := range boot.regs {
		for i := range ms {
			ms[i].Content, ms[i].Verified = content(b, &ms[i].Event, ms[i].Digest)
		}
	}
	boot.facts = boot.extract()
	return boot, nil
}

// launched reports whether a dynamic launch resets a PCR, which is all ones
// before (PFP 1.06, 3.3.2).
func launched(pcr int) bool { return pcr >= 17 && pcr <= 22 }

// extend computes a register from its events.
func (l *Log) extend(b bank, k kind, i int) ([]byte, []Measurement) {
	v := make([]byte, b.hash.Size())
	if k == pcrs && i == 0 {
		v[len(v)-1] = l.locality
	}
	var ms []Measurement
	for j := range l.events {
		e := &l.events[j]
		if e.Register != i+k.first || e.Type == typeNoAction {
			continue
		}
		if k == pcrs && i == 0 && e.Type == typeHCRTM && len(ms) == 0 {
			// The H-CRTM's sequence leaves PCR 0 at locality 4 (TPM 2.0 Part 1, 34.3).
			v[len(v)-1] = 4
		}
		d := e.digest(b.name)
		v = b.sum(v, d)
		ms = append(ms, Measurement{Event: *e, Digest: d})
	}
	return v, ms
}

// Bank is the bank of the replay.
func (b *Boot) Bank() string { return b.bank.name }

// Facts is what the replayed registers prove.
func (b *Boot) Facts() Facts { return b.facts }

// Measurements returns what extended a register, in order. It is false for a
// register that the replay did not compare; one that nothing extended is empty
// and true.
func (b *Boot) Measurements(register int) ([]Measurement, bool) {
	ms, ok := b.regs[register]
	return slices.Clone(ms), ok
}

// Digests returns every digest that extended a register, in order: what a
// policy pins that would rather name events than the register's value. It is
// false for a register that the replay did not compare.
func (b *Boot) Digests(register int) ([][]byte, bool) {
	ms, ok := b.regs[register]
	var ds [][]byte
	for _, m := range ms {
		ds = append(ds, bytes.Clone(m.Digest))
	}
	return ds, ok
}

// Compare holds a register's digests against wanted ones without regard to
// order: each as many times as it is wanted. Both results empty is equal. An
// error, "bootlog.replay", is a register that the replay did not compare.
func (b *Boot) Compare(register int, want [][]byte) (missing, unexpected [][]byte, err error) {
	got, ok := b.Digests(register)
	if !ok {
		return nil, nil, status.New(status.Untrusted, "bootlog.replay", "%s was not among the registers that the boot log was replayed against", b.kind.field(register))
	}
	missing = slices.Clone(want)
	for _, g := range got {
		if i := slices.IndexFunc(missing, func(w []byte) bool { return bytes.Equal(w, g) }); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		unexpected = append(unexpected, g)
	}
	return missing, unexpected, nil
}

// joined is a list for a sentence.
func joined(s []string) string { return strings.Join(s, ", ") }
