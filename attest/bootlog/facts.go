package bootlog

import (
	"bytes"
	"fmt"
	"strings"
)

// Fact is something that a replayed register proves.
type Fact[T any] struct {
	Value T
	// Register anchors it, such as "pcr[7]", "rtmr[0]" or "pcr[2], pcr[4]".
	Register string
	// Events are the measurements that it was read from: [Event.Index].
	Events []int
}

// Facts is what a boot proves. What is missing was not proven and is nil: a
// policy that asks for it refuses.
//
// A register proves a sequence of digests, and whoever is root on the machine
// can extend it further. So each fact is taken only where neither a changed
// type or text of an event nor one that was added after the firmware's part
// could give another value. Facts of a boot loader's making (CommandLine,
// Script, LoadOptions, Initrd, Sections) also need a loader that measures what
// it does: they mean something only where Images is pinned.
type Facts struct {
	// SecureBoot says that the firmware verified signatures. An unset variable is
	// false. It is nil where two measurements contradict or a debugger was attached.
	SecureBoot *Fact[bool]
	// PK, KEK, DB and DBX are the SHA-256 of the contents of these variables:
	// the keys and hashes that Secure Boot trusts and refuses.
	PK, KEK, DB, DBX *Fact[[32]byte]
	// Images are all digests of PCRs 2 and 4 (RTMR 1) that may be those of a
	// program: the Authenticode digests of drivers, boot loaders and kernels, and
	// whatever was extended without a content that shows it to be something else.
	// PCR 2 is among them because firmware measures there what it starts from a
	// device's own boot option. Hold each of them against a list; that the list's
	// own entries occur proves nothing.
	Images *Fact[[][]byte]
	// FirmwareVersion is what the firmware calls itself in the first measurement
	// of PCR 0, as ASCII text, or hex with the prefix "0x" where it is none.
	FirmwareVersion *Fact[string]
	// Firmware is the digests of PCR 0 before its separator whose content the log
	// does not hold: the firmware's volumes.
	Firmware *Fact[[][]byte]
	// CommandLine is the kernel's, as GRUB (PCR 8, starting with the kernel's
	// path) or systemd's loaders (PCR 8 or 12) measured it.
	CommandLine *Fact[string]
	// Script is everything that GRUB measured into PCR 8, in order: each command
	// as it ran and the command lines.
	Script *Fact[[]string]
	// LoadOptions is the digest of the kernel's command line as its EFI stub got
	// it (PCR 9: UTF-16 with the final zero), and Initrd that of the initial RAM
	// disk.
	LoadOptions, Initrd *Fact[[]byte]
	// Sections are the parts of a unified kernel image (PCR 11).
	Sections *Fact[[]Section]
	// Missing tells, in a sentence each, why facts that one would expect are not
	// there.
	Missing []Missing
}

// Section is one part of a unified kernel image.
type Section struct {
	// Name is such as ".cmdline".
	Name   string
	Digest []byte
}

// Missing is a fact that is not proven although its register was replayed.
type Missing struct {
	// Fact is the field's name in snake_case, such as "secure_boot".
	Fact, Why string
}

// extraction gathers facts of one boot.
type extraction struct {
	*Boot
	f Facts
}

func (b *Boot) extract() Facts {
	x := extraction{Boot: b}
	// The separator of a TD's RTMR 0 comes right after the variables too (PCRs 1
	// and 7 share it), so that one reading serves both.
	secure, images, loader := 7, []int{2, 4}, []int{8, 12}
	if b.kind == rtmrs {
		secure, images, loader = 0, []int{1}, []int{2}
	}
	x.secureBoot(secure)
	x.images(images...)
	for _, r := range loader {
		x.commandLine(r)
	}
	if b.kind == pcrs {
		x.firmware()
		x.stub()
		x.sections()
	}
	return x.f
}

func (x *extraction) miss(fact, why string, args ...any) {
	x.f.Missing = append(x.f.Missing, Missing{Fact: fact, Why: fmt.Sprintf(why, args...)})
}

// separator returns where firmware ended its part of a register, which it does
// before it runs anything else: at the first digest of a separator, whatever
// the event calls itself. A later one was not its own. Both values are legal
// (PFP 1.06, 10.4.1); that of a measurement that failed is neither.
func (x *extraction) separator(ms []Measurement) (int, bool) {
	zeros, ones := x.bank.sum([]byte{0, 0, 0, 0}), x.bank.sum([]byte{0xff, 0xff, 0xff, 0xff})
	for i, m := range ms {
		if bytes.Equal(m.Digest, zeros) || bytes.Equal(m.Digest, ones) {
			return i, true
		}
	}
	return 0, false
}

// images takes what is not shown to be something else. A PE image starts with
// "MZ" and is hashed from there on, so known content that starts otherwise is
// none: a separator, the text of an action, a partition table.
func (x *extraction) images(registers ...int) {
	f := &Fact[[][]byte]{}
	for _, r := range registers {
		ms, ok := x.regs[r]
		if !ok {
			x.miss("images", "%s was not replayed", x.kind.field(r))
			return
		}
		f.Register = strings.TrimPrefix(f.Register+", "+x.kind.field(r), ", ")
		for _, m := range ms {
			if m.Verified && !bytes.HasPrefix(m.Content, []byte("MZ")) {
				continue
			}
			f.Value = append(f.Value, bytes.Clone(m.Digest))
			f.Events = append(f.Events, m.Index)
		}
	}
	if len(f.Value) == 0 {
		x.miss("images", "nothing in %s may be a program", f.Register)
		return
	}
	x.f.Images = f
}

// firmware reads PCR 0 up to its separator.
func (x *extraction) firmware() {
	ms, ok := x.regs[0]
	if !ok {
		return
	}
	end, ok := x.separator(ms)
	if !ok {
		x.miss("firmware", "pcr[0] has no separator")
		return
	}
	blobs := &Fact[[][]byte]{Register: x.kind.field(0)}
	for _, m := range ms[:end] {
		if !m.Verified {
			blobs.Value = append(blobs.Value, bytes.Clone(m.Digest))
			blobs.Events = append(blobs.Events, m.Index)
		}
	}
	if len(blobs.Value) > 0 {
		x.f.Firmware = blobs
	}
	// The place is proven and the type is not: of any other event it might be a
	// text that something else had measured.
	if first := ms[0]; end > 0 && first.Type == typeCRTMVersion && first.Verified {
		x.f.FirmwareVersion = &Fact[string]{Value: display(first.Content), Register: x.kind.field(0), Events: []int{first.Index}}
		return
	}
	x.miss("firmware_version", "the first measurement of pcr[0] is not the text of a version")
}
