package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"apocryph/attest"
)

// AKNameSize is the length of a TPM name with SHA-256: the algorithm's number,
// then the digest (TPM 2.0 Part 1, 16).
const AKNameSize = 2 + 32

// Boot is what the boot's event log must prove of a machine, after it was
// replayed against authentic registers (see package bootlog). What is empty is
// not demanded; what is demanded and was not proven fails.
type Boot struct {
	// SecureBoot wants the firmware to have verified signatures.
	SecureBoot bool
	// Keys are the accepted contents (SHA-256) of the variables in
	// [bootVariables]: what Secure Boot trusts and refuses.
	Keys map[string][][32]byte
	// Images are the programs that firmware may have started: drivers, boot
	// loaders, kernels. None but these.
	Images [][]byte
	// Firmware are the volumes of which the firmware may consist. None but these.
	Firmware [][]byte
	// FirmwareVersions and CommandLines are the accepted texts.
	FirmwareVersions, CommandLines []string
	// LoadOptions and Initrds are the accepted digests of what the kernel's EFI
	// stub got.
	LoadOptions, Initrds [][]byte
	// Sections are the accepted digests of each part of a unified kernel image,
	// by name such as ".linux". A part that is not named may be anything.
	Sections map[string][][]byte
	// Events are, by register, all digests that extended it, in any order.
	Events map[uint32][][]byte
}

// bootVariables are the firmware's variables with the keys of Secure Boot.
var bootVariables = []string{"pk", "kek", "db", "dbx"}

// registers are those that the facts of a TPM come from.
func (b *Boot) registers() []uint32 {
	if b == nil {
		return nil
	}
	pcrs := slices.Collect(maps.Keys(b.Events))
	if len(b.CommandLines) > 0 {
		pcrs = append(pcrs, 8, 12)
	}
	if len(b.LoadOptions) > 0 || len(b.Initrds) > 0 {
		pcrs = append(pcrs, 9)
	}
	if len(b.Sections) > 0 {
		pcrs = append(pcrs, 11)
	}
	return pcrs
}

// proves reports whether the demands say which software booted: programs, all
// events of a register, or the keys of those who may have signed the programs.
func (b *Boot) proves() bool {
	return len(b.Images) > 0 || len(b.Events) > 0 || b.SecureBoot && len(b.Keys["db"]) > 0
}

// bootCheck makes checks of boot facts.
type bootCheck struct {
	a       *appraisal
	at      string
	code    string
	anchor  attest.Anchor
	missing map[string]string
	list    []attest.Check
}

// boot compares what the event log proves. code is that of a difference: the
// registers' for a TPM, the measurement's for a TD. anchor is what vouches for the
// registers that the log was replayed against.
func (a *appraisal) boot(at, code string, anchor attest.Anchor, want *Boot, f *attest.BootFacts) []attest.Check {
	if want == nil {
		return nil
	}
	c := &bootCheck{a: a, at: at + ".boot", code: code, anchor: anchor, missing: map[string]string{}}
	if f == nil {
		c.add("boot log", "", "nothing that was replayed", "the firmware's event log", false)
		return c.list
	}
	for _, m := range f.Missing {
		c.missing[m.Fact] = m.Why
	}
	if want.SecureBoot {
		got := c.unproven("secure_boot")
		if f.SecureBoot != nil {
			got = onOff(*f.SecureBoot)
		}
		c.add("secure boot", "secure_boot", got, "on", f.SecureBoot != nil && *f.SecureBoot)
	}
	for i, fact := range []*[32]byte{f.PK, f.KEK, f.DB, f.DBX} {
		name := bootVariables[i]
		if list := want.Keys[name]; len(list) > 0 {
			got := c.unproven(name)
			if fact != nil {
				got = fingerprint(*fact)
			}
			c.add("variable "+name, "keys."+name, got, fingerprints(list), fact != nil && slices.Contains(list, *fact))
		}
	}
	c.all("programs", "images", want.Images, f.Images)
	c.all("firmware", "firmware", want.Firmware, f.Firmware)
	c.text("firmware version", "firmware_versions", "firmware_version", want.FirmwareVersions, f.FirmwareVersion)
	c.text("command line", "command_lines", "command_line", want.CommandLines, f.CommandLine)
	c.digest("load options", "load_options", want.LoadOptions, f.LoadOptions)
	c.digest("initial disk", "initrds", want.Initrds, f.Initrd)
	c.sections(want, f)
	c.events(want, f)
	return c.list
}

func (c *bootCheck) add(name, field, got, want string, ok bool) {
	at := c.at
	if field != "" {
		at += "." + field
	}
	c.list = append(c.list, attest.Check{
		Code: c.code, Name: name, Anchor: c.anchor, Policy: c.a.p.where(at), Got: got, Want: want, OK: ok,
	})
}

// unproven is the text for a fact that is not there.
func (c *bootCheck) unproven(fact string) string {
	if why := c.missing[fact]; why != "" {
		return "not proven: " + printable(why)
	}
	return "not proven"
}

// all wants every digest that was found to be one of the accepted, and some to
// have been found.
func (c *bootCheck) all(name, field string, want, got [][]byte) {
	if len(want) == 0 {
		return
	}
	if len(got) == 0 {
		c.add(name, field, c.unproven(field), "none but "+hexes(want), false)
		return
	}
	strange := slices.DeleteFunc(slices.Clone(got), func(b []byte) bool { return contains(want, b) })
	if len(strange) > 0 {
		c.add(name, field, hexes(strange), "none but "+hexes(want), false)
		return
	}
	c.add(name, field, fmt.Sprintf("%d, all known", len(got)), "none but "+hexes(want), true)
}

func (c *bootCheck) text(name, field, fact string, want []string, got *string) {
	if len(want) == 0 {
		return
	}
	shown := c.unproven(fact)
	if got != nil {
		shown = quote(*got)
	}
	c.add(name, field, shown, quoted(want), got != nil && slices.Contains(want, *got))
}

func (c *bootCheck) digest(name, field string, want [][]byte, got []byte) {
	if len(want) == 0 {
		return
	}
	shown := c.unproven(field)
	if len(got) > 0 {
		shown = hex.EncodeToString(got)
	}
	c.add(name, field, shown, hexes(want), contains(want, got))
}

// sections wants each named part once: of two nobody could say which ran.
func (c *bootCheck) sections(want *Boot, f *attest.BootFacts) {
	for _, name := range slices.Sorted(maps.Keys(want.Sections)) {
		var got [][]byte
		for _, s := range f.Sections {
			if s.Name == name {
				got = append(got, s.Digest)
			}
		}
		shown := c.unproven("sections")
		switch {
		case len(got) == 1:
			shown = hexOrNothing(got[0])
		case len(got) > 1:
			shown = fmt.Sprintf("%d of that name", len(got))
		}
		c.add("section "+name, "sections."+name, shown, hexes(want.Sections[name]), len(got) == 1 && contains(want.Sections[name], got[0]))
	}
}

func (c *bootCheck) events(want *Boot, f *attest.BootFacts) {
	for _, i := range slices.Sorted(maps.Keys(want.Events)) {
		name, field := fmt.Sprintf("events of register %d", i), "events."+strconv.Itoa(int(i))
		lacks, strange, replayed := f.Compare(int(i), want.Events[i])
		got := "equal"
		switch {
		case !replayed:
			got = "not replayed"
		case len(strange) > 0:
			got = "beside them " + hexes(strange)
		case len(lacks) > 0:
			got = "all but " + hexes(lacks)
		}
		c.add(name, field, got, fmt.Sprintf("exactly the %d that are named", len(want.Events[i])), replayed && len(lacks) == 0 && len(strange) == 0)
	}
}

func quoted(list []string) string {
	var s []string
	for _, t := range list {
		s = append(s, quote(t))
	}
	return oneOf(s)
}

// fromBoot pins what a boot proved and what survives another start of the same
// software: the programs, the command line, the initial disk. nil where the log
// proves no programs.
func fromBoot(f *attest.BootFacts) *Boot {
	if f == nil || len(f.Images) == 0 {
		return nil
	}
	b := &Boot{SecureBoot: f.SecureBoot != nil && *f.SecureBoot}
	for i, fact := range []*[32]byte{f.PK, f.KEK, f.DB} {
		if fact != nil && b.SecureBoot {
			if b.Keys == nil {
				b.Keys = map[string][][32]byte{}
			}
			b.Keys[bootVariables[i]] = [][32]byte{*fact}
		}
	}
	b.Images, b.Firmware = distinct(f.Images), distinct(f.Firmware)
	if f.CommandLine != nil && plainText(*f.CommandLine) {
		b.CommandLines = []string{*f.CommandLine}
	}
	if len(f.LoadOptions) > 0 {
		b.LoadOptions = [][]byte{bytes.Clone(f.LoadOptions)}
	}
	if len(f.Initrd) > 0 {
		b.Initrds = [][]byte{bytes.Clone(f.Initrd)}
	}
	for _, s := range f.Sections {
		if !sectionName.MatchString(s.Name) {
			continue
		}
		if b.Sections == nil {
			b.Sections = map[string][][]byte{}
		}
		b.Sections[s.Name] = append(b.Sections[s.Name], bytes.Clone(s.Digest))
	}
	return b
}

func distinct(list [][]byte) [][]byte {
	var out [][]byte
	for _, b := range list {
		if !contains(out, b) {
			out = append(out, bytes.Clone(b))
		}
	}
	return out
}
