package bootlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// loaderCommands are the commands of GRUB that load a kernel themselves. One
// that starts an EFI program instead shows in Images.
var loaderCommands = map[string]bool{
	"linux": true, "linux16": true, "linuxefi": true, "kernel": true,
	"multiboot": true, "multiboot2": true, "xen_hypervisor": true, "xen_linux": true,
	"kfreebsd": true, "knetbsd": true, "kopenbsd": true,
	"xnu_kernel": true, "xnu_kernel64": true, "xnu_resume": true,
	"plan9": true, "ntldr": true, "freedos": true, "pxechainloader": true,
}

// commandLine reads what a boot loader measured as text: nothing unless all of
// the register is known, for any event might hide a command.
func (x *extraction) commandLine(register int) {
	ms, ok := x.regs[register]
	if !ok || len(ms) == 0 {
		return
	}
	const fact = "command_line"
	field := x.kind.field(register)
	if i := slices.IndexFunc(ms, func(m Measurement) bool { return !m.Verified }); i >= 0 {
		x.miss(fact, "%s has an event %d whose content is not known", field, ms[i].Index)
		return
	}
	line, at, ok := x.systemdLine(ms)
	if !ok {
		if register == 12 {
			return
		}
		x.f.Script = script(field, ms)
		line, at, ok = grubLine(ms)
	}
	switch {
	case !ok:
		x.miss(fact, "%s does not show exactly one kernel being loaded", field)
	case x.f.CommandLine != nil:
		x.miss(fact, "both %s and %s show one", x.f.CommandLine.Register, field)
		x.f.CommandLine = nil
	default:
		x.f.CommandLine = &Fact[string]{Value: line, Register: field, Events: []int{ms[at].Index}}
	}
}

// systemdLine is the only thing that systemd-boot (PCR 8, to version 251) and
// systemd-stub (PCR 12) measure, in UTF-16.
func (x *extraction) systemdLine(ms []Measurement) (string, int, bool) {
	if len(ms) != 1 {
		return "", 0, false
	}
	s, ok := wide(ms[0].Content)
	return s, 0, ok
}

// script is GRUB's.
func script(field string, ms []Measurement) *Fact[[]string] {
	f := &Fact[[]string]{Register: field}
	for _, m := range ms {
		f.Value = append(f.Value, strings.TrimSuffix(string(m.Content), "\x00"))
		f.Events = append(f.Events, m.Index)
	}
	return f
}

// grubLine is what GRUB measured right after the one command that loads a
// kernel, which it measures before running it. The prefixes, which say what an
// event is, are not hashed: somebody who extends a better command line later
// could swap them. A second loading command, or one that nothing follows, is
// not decided.
func grubLine(ms []Measurement) (line string, at int, ok bool) {
	at = -1
	for i, m := range ms {
		command, _, _ := strings.Cut(strings.TrimRight(string(m.Content), "\x00"), " ")
		if !loaderCommands[command] {
			continue
		}
		if at >= 0 {
			return "", 0, false
		}
		at = i + 1
	}
	if at < 0 || at >= len(ms) {
		return "", 0, false
	}
	return strings.TrimSuffix(string(ms[at].Content), "\x00"), at, true
}

// The tags of the kernel's EFI stub (Linux, include/linux/efi.h,
// EFISTUB_EVT_INITRD and EFISTUB_EVT_LOAD_OPTIONS).
const (
	tagInitrd      = 0x8f3b22ec
	tagLoadOptions = 0x8f3b22ed
)

// stub reads PCR 9 where the kernel's EFI stub alone used it: the load options,
// which it always measures, then the initial RAM disk. The tags are not hashed,
// so where there is anything else or another order, it might be the real one
// under a wrong name; and a single event is what comes first.
func (x *extraction) stub() {
	ms, ok := x.regs[9]
	if !ok || len(ms) == 0 {
		return
	}
	for i, tag := range []uint32{tagLoadOptions, tagInitrd} {
		if len(ms) > 2 || i < len(ms) && !tagged(ms[i], tag) {
			x.miss("initrd", "pcr[9] has something else than the load options and the initial RAM disk of the kernel's EFI stub")
			return
		}
	}
	fact := func(i int) *Fact[[]byte] {
		return &Fact[[]byte]{Value: bytes.Clone(ms[i].Digest), Register: x.kind.field(9), Events: []int{ms[i].Index}}
	}
	x.f.LoadOptions = fact(0)
	if len(ms) == 2 {
		x.f.Initrd = fact(1)
	}
}

// tagged reports whether an event is a TCG_PCClientTaggedEvent of the tag.
func tagged(m Measurement, tag uint32) bool {
	return m.Type == typeEventTag && len(m.Data) >= 8 && binary.LittleEndian.Uint32(m.Data) == tag
}

// sectionNames are those that systemd-stub measures (the UAPI group's Unified
// Kernel Image specification).
var sectionNames = []string{
	".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto",
	".hwids", ".efifw", ".uname", ".sbat", ".pcrpkey", ".profile",
}

// sections reads PCR 11 where systemd-stub alone used it: for each section the
// name with a final zero, then its contents. Names are recognised by their
// digests.
func (x *extraction) sections() {
	ms, ok := x.regs[11]
	if !ok || len(ms) == 0 {
		return
	}
	const fact = "sections"
	names := make(map[string]string, len(sectionNames))
	for _, n := range sectionNames {
		names[string(x.bank.sum([]byte(n+"\x00")))] = n
	}
	f := &Fact[[]Section]{Register: x.kind.field(11)}
	for i := 0; i+1 < len(ms); i += 2 {
		name, ok := names[string(ms[i].Digest)]
		if !ok {
			break
		}
		if slices.ContainsFunc(f.Value, func(s Section) bool { return s.Name == name }) {
			x.miss(fact, "pcr[11] has the section %s twice", name)
			return
		}
		f.Value = append(f.Value, Section{Name: name, Digest: bytes.Clone(ms[i+1].Digest)})
		f.Events = append(f.Events, ms[i].Index, ms[i+1].Index)
	}
	if 2*len(f.Value) != len(ms) {
		x.miss(fact, "pcr[11] has something else than the sections of a unified kernel image")
		return
	}
	x.f.Sections = f
}

// wide decodes printable UTF-16 of at least one character, without its final zero.
func wide(b []byte) (string, bool) {
	if len(b)%2 != 0 {
		return "", false
	}
	s := strings.TrimSuffix(text16(b), "\x00")
	return s, printable(s)
}

func printable(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	})
}

// display is UTF-16 or ASCII text as text, and anything else as hex. Two
// contents may not look the same, so text is only what has one reading: ASCII.
func display(b []byte) string {
	ascii := func(s string) bool {
		return printable(s) && !strings.HasPrefix(s, "0x") && !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
	}
	if s, ok := wide(b); ok && ascii(s) {
		return s
	}
	if s := strings.TrimSuffix(string(b), "\x00"); ascii(s) {
		return s
	}
	return "0x" + hex.EncodeToString(b)
}
