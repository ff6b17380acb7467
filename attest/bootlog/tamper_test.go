package bootlog

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// grub is a log of a boot by GRUB.
func grub() *builder {
	b := newLog("sha256").
		plain(4, typeSeparator, "\x00\x00\x00\x00").
		add(4, typeApplication, []byte("MZ grub"), []byte("a device path"))
	for _, s := range []string{"grub_cmd: set default=0", "grub_cmd: linux /vmlinuz ro quiet"} {
		b.add(8, typeIPL, []byte(s[len("grub_cmd: "):]), []byte(s+"\x00"))
	}
	return b.
		add(9, typeIPL, []byte("the kernel"), []byte("/vmlinuz\x00")).
		add(8, typeIPL, []byte("/vmlinuz ro quiet"), []byte("kernel_cmdline: /vmlinuz ro quiet\x00")).
		add(8, typeIPL, []byte("initrd /initrd.img"), []byte("grub_cmd: initrd /initrd.img\x00"))
}

// weaker reports whether got claims nothing that honest does not: facts may go,
// and lists that a policy holds against an allow-list may grow.
func weaker(honest, got Facts) string {
	listed := func(a, b *Fact[[][]byte]) bool {
		if b == nil {
			return true
		}
		if a == nil {
			// An honest boot that has none grows one of what is not verified any more.
			return true
		}
		for _, d := range a.Value {
			if !slices.ContainsFunc(b.Value, func(o []byte) bool { return bytes.Equal(o, d) }) {
				return false
			}
		}
		return true
	}
	if !listed(honest.Images, got.Images) || !listed(honest.Firmware, got.Firmware) {
		return "a list lost an entry"
	}
	h, g := show(honest), show(got)
	for name, v := range g {
		if name == "missing" || name == "images" || name == "firmware" {
			continue
		}
		if !cmp.Equal(h[name], v) {
			return name + ": " + cmp.Diff(h[name], v)
		}
	}
	return ""
}

// TestEveryByte changes each byte of logs in several ways and replays them
// against the registers of the honest one.
func TestEveryByte(t *testing.T) {
	for name, raw := range map[string][]byte{
		"ovmf": ovmf().raw(), "grub": grub().raw(), "real": readVector(t, "eventlogs/tpm/host-gmes.bin"),
	} {
		t.Run(name, func(t *testing.T) {
			honest := mustParse(t, raw)
			values := own(honest, mustBank(t, "sha256"), pcrs)
			reference := boot(t, raw)
			want := reference.Facts()
			refused, accepted := 0, 0
			for i := range raw {
				for _, x := range []byte{0x01, 0x02, 0x80, 0xff} {
					bad := bytes.Clone(raw)
					bad[i] ^= x
					l, err := Parse(bad)
					if err != nil {
						wantStatus(t, err, status.Untrusted, "bootlog.parse")
						refused++
						continue
					}
					b, err := l.Replay("sha256", values)
					if err != nil {
						refused++
						continue
					}
					accepted++
					if why := weaker(want, b.Facts()); why != "" {
						t.Fatalf("byte %d ^ %#x: %s", i, x, why)
					}
					for r := range values {
						got, _ := b.Digests(r)
						want, _ := reference.Digests(r)
						if !slices.EqualFunc(got, want, bytes.Equal) {
							t.Fatalf("byte %d ^ %#x: other digests of pcr[%d]", i, x, r)
						}
					}
				}
			}
			if refused == 0 || accepted == 0 {
				t.Errorf("%d refused, %d accepted: the test shows nothing", refused, accepted)
			}
		})
	}
}

// events splits a log of the builder or a real one into its header and events.
func split(tb testing.TB, raw []byte) (header []byte, events [][]byte) {
	tb.Helper()
	p := &parser{rest: raw, size: len(raw)}
	first, err := p.legacy()
	if err != nil {
		tb.Fatal(err)
	}
	if p.algs, err = bankTable(first); err != nil {
		tb.Fatal(err)
	}
	header = raw[:p.at()]
	for len(p.rest) > 0 {
		from := p.at()
		if _, err := p.agile(); err != nil {
			tb.Fatal(err)
		}
		events = append(events, raw[from:p.at()])
	}
	return header, events
}

func bankTable(e Event) ([]algorithm, error) { return header(e.Data[len(specID):]) }

// TestEventsMoved drops, doubles and swaps each event of a real log. The
// recorded registers decide.
func TestEventsMoved(t *testing.T) {
	var rec recorded
	for _, r := range recordings(t) {
		if r.Log == "eventlogs/tpm/cos-101-amd-sev.bin" && r.Bank == "sha256" {
			rec = r
		}
	}
	head, events := split(t, readVector(t, rec.Log))
	values := rec.registers(t)
	try := func(evs [][]byte) error {
		l, err := Parse(append(bytes.Clone(head), bytes.Join(evs, nil)...))
		if err != nil {
			return err
		}
		_, err = l.Replay("sha256", values)
		return err
	}
	if err := try(events); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		dropped := slices.Delete(slices.Clone(events), i, i+1)
		wantStatus(t, try(dropped), status.Untrusted, "bootlog.replay")
		wantStatus(t, try(slices.Insert(slices.Clone(events), i, e)), status.Untrusted, "bootlog.replay")
		// Only the order within a register is measured.
		for j := i + 1; j < len(events); j++ {
			if !bytes.Equal(events[j][:4], e[:4]) {
				continue
			}
			swapped := slices.Clone(events)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if bytes.Equal(digestOf(events[j]), digestOf(e)) {
				break
			}
			wantStatus(t, try(swapped), status.Untrusted, "bootlog.replay")
			break
		}
	}
}

// digestOf is the part of an event that holds its digests, up to its data.
func digestOf(e []byte) []byte { return e[12 : 12+3*2+20+32+48] }

// TestDataChanged changes what an event says and keeps its digest: it replays,
// and what it said is not a fact.
func TestDataChanged(t *testing.T) {
	raw := ovmf().raw()
	l := mustParse(t, raw)
	values := own(l, mustBank(t, "sha256"), pcrs)
	honest := boot(t, raw)
	if f := honest.Facts(); f.SecureBoot == nil || !f.SecureBoot.Value || f.DB == nil || f.FirmwareVersion == nil {
		t.Fatalf("facts %v", show(f))
	}
	for _, c := range []struct {
		name, old, new string
		gone           func(Facts) bool
	}{
		{"state", secure("SecureBoot", 1), secure("SecureBoot", 0), func(f Facts) bool { return f.SecureBoot == nil && f.PK == nil && f.DBX == nil }},
		{"keys", secure("db", 4), secure("db", 9), func(f Facts) bool { return f.DB == nil && f.DBX == nil && f.KEK != nil && f.SecureBoot.Value }},
		{"version", utf16z("2022.11-6+deb12u2"), utf16z("2032.11-6+deb12u2"), func(f Facts) bool { return f.FirmwareVersion == nil }},
		{"action", "Calling EFI Application from Boot Option", "Calling off Application from Boot Option", func(f Facts) bool { return len(f.Images.Value) == 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := bytes.Count(raw, []byte(c.old)); n != 1 {
				t.Fatalf("%d times", n)
			}
			b, err := mustParse(t, bytes.Replace(raw, []byte(c.old), []byte(c.new), 1)).Replay("sha256", values)
			if err != nil {
				t.Fatal(err)
			}
			if !c.gone(b.Facts()) {
				t.Errorf("facts %v", show(b.Facts()))
			}
			unverified := 0
			for r := range values {
				before, _ := honest.Measurements(r)
				after, _ := b.Measurements(r)
				for i := range after {
					if before[i].Verified && !after[i].Verified {
						unverified++
						if after[i].Content != nil {
							t.Errorf("event %d has content %q", after[i].Index, after[i].Content)
						}
					}
				}
			}
			if unverified != 1 {
				t.Errorf("%d events became unverified, want 1", unverified)
			}
		})
	}
}

// TestSecureBootForged is what somebody who booted with Secure Boot off can do:
// extend further, and write any log.
func TestSecureBootForged(t *testing.T) {
	on, off := secure("SecureBoot", 1), secure("SecureBoot", 0)
	sep := "\x00\x00\x00\x00"
	for _, c := range []struct {
		name string
		log  *builder
		want *bool
	}{
		{"honest", newLog("sha256").plain(7, typeDriver, off).plain(7, typeSeparator, sep), new(bool)},
		{"unset", newLog("sha256").plain(7, typeDriver, secure("SecureBoot")).plain(7, typeSeparator, sep), new(bool)},
		{"extended afterwards", newLog("sha256").plain(7, typeDriver, off).plain(7, typeSeparator, sep).plain(7, typeDriver, on), new(bool)},
		{"the real one renamed", newLog("sha256").add(7, typeAction, []byte(off), []byte("nothing")).plain(7, typeSeparator, sep).plain(7, typeDriver, on), nil},
		{"the separator renamed", newLog("sha256").plain(7, typeDriver, off).add(7, typeAction, []byte(sep), []byte("nothing")).plain(7, typeDriver, on).plain(7, typeSeparator, sep), new(bool)},
		{"both renamed", newLog("sha256").add(7, typeAction, []byte(off), []byte("nothing")).add(7, typeAction, []byte(sep), []byte("nothing")).plain(7, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"a second separator", newLog("sha256").add(7, typeAction, []byte(off), nil).plain(7, typeSeparator, sep).plain(7, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"measured before by other means", newLog("sha256").add(7, typeAction, []byte(off), nil).plain(7, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"twice the same", newLog("sha256").plain(7, typeDriver, on).plain(7, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"no separator", newLog("sha256").plain(7, typeDriver, on), nil},
		{"the separator of an error", newLog("sha256").plain(7, typeDriver, on).plain(7, typeSeparator, "\x01\x00\x00\x00"), nil},
		{"a debugger", newLog("sha256").plain(7, typeAction, "UEFI Debug Mode").plain(7, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"a hidden debugger", newLog("sha256").plain(7, typeDriver, on).add(7, typeDriver, []byte("UEFI Debug Mode"), nil).plain(7, typeSeparator, sep), nil},
		{"another register", newLog("sha256").plain(1, typeDriver, on).plain(7, typeSeparator, sep), nil},
		{"another vendor", newLog("sha256").plain(7, typeDriver, string(variable{vendor: securityDatabase, name: "SecureBoot", data: []byte{1}}.encode())).plain(7, typeSeparator, sep), nil},
		{"another value", newLog("sha256").plain(7, typeDriver, secure("SecureBoot", 2)).plain(7, typeSeparator, sep), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := boot(t, c.log.raw()).Facts()
			switch {
			case (f.SecureBoot == nil) != (c.want == nil):
				t.Errorf("secure boot %v, missing %v", f.SecureBoot, f.Missing)
			case c.want == nil && (len(f.Missing) == 0 || f.Missing[0].Fact != "secure_boot"):
				t.Errorf("missing %v", f.Missing)
			case c.want != nil && f.SecureBoot.Value != *c.want:
				t.Errorf("secure boot %v", f.SecureBoot.Value)
			}
		})
	}
}

// TestKeysForged shows that keys come only from right behind SecureBoot: a boot
// option's contents, which share RTMR 0 with the variables and are hashed
// without a name, could be those of any variable.
func TestKeysForged(t *testing.T) {
	sep := "\x00\x00\x00\x00"
	good := secure("db", 4)
	for name, c := range map[string]struct {
		log    *builder
		db, pk bool
	}{
		"honest":             {newLog("sha384").plain(1, typeDriver, secure("SecureBoot", 1)).plain(1, typeDriver, secure("PK", 2)).plain(1, typeDriver, good).plain(1, typeSeparator, sep), true, true},
		"other keys hidden":  {newLog("sha384").plain(1, typeDriver, secure("SecureBoot", 1)).add(1, typeDriver, []byte(secure("db", 9)), nil).plain(1, typeVariableBoot, good).plain(1, typeSeparator, sep), false, false},
		"before the state":   {newLog("sha384").plain(1, typeDriver, good).plain(1, typeDriver, secure("SecureBoot", 1)).plain(1, typeSeparator, sep), false, false},
		"after a gap":        {newLog("sha384").plain(1, typeDriver, secure("SecureBoot", 1)).plain(1, typeDriver, secure("PK", 2)).plain(1, typePostCode, "x").plain(1, typeDriver, good).plain(1, typeSeparator, sep), false, true},
		"after the end":      {newLog("sha384").plain(1, typeDriver, secure("SecureBoot", 1)).plain(1, typeSeparator, sep).plain(1, typeDriver, good), false, false},
		"a second one stays": {newLog("sha384").plain(1, typeDriver, secure("SecureBoot", 1)).plain(1, typeDriver, good).plain(1, typeDriver, secure("db", 9)).plain(1, typeSeparator, sep), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := mustParse(t, c.log.raw())
			b, err := l.ReplayRTMR(own(l, mustBank(t, "sha384"), rtmrs))
			if err != nil {
				t.Fatal(err)
			}
			f := b.Facts()
			if f.SecureBoot == nil || !f.SecureBoot.Value || f.SecureBoot.Register != "rtmr[0]" {
				t.Fatalf("secure boot %v", f.SecureBoot)
			}
			if (f.DB != nil) != c.db || (f.PK != nil) != c.pk {
				t.Errorf("db %v, pk %v", f.DB, f.PK)
			}
			if honest := boot(t, ovmf().raw()).Facts(); f.DB != nil && f.DB.Value != honest.DB.Value {
				t.Error("other keys than the first ones")
			}
		})
	}
}

// TestImagesHidden shows that no name or text takes a program off the list.
func TestImagesHidden(t *testing.T) {
	evil := []byte("MZ evil")
	for name, log := range map[string]*builder{
		"as an action":            newLog("sha256").add(4, typeAction, evil, []byte("Calling EFI Application from Boot Option")),
		"as a separator":          newLog("sha256").add(4, typeSeparator, evil, []byte{0, 0, 0, 0}),
		"as a table":              newLog("sha256").add(4, 0x80000006, evil, []byte("EFI PART")),
		"with its own content":    newLog("sha256").plain(4, typeIPL, string(evil)),
		"of a device":             newLog("sha256").add(2, typeApplication, evil, []byte("a device path")),
		"before the calling text": newLog("sha256").add(4, typeApplication, evil, nil).plain(4, typeAction, "Calling EFI Application from Boot Option"),
	} {
		t.Run(name, func(t *testing.T) {
			f := boot(t, log.raw()).Facts()
			if f.Images == nil || !bytes.Equal(f.Images.Value[0], mustBank(t, "sha256").sum(evil)) || len(f.Images.Value) != 1 {
				t.Errorf("images %v", f.Images)
			}
		})
	}
	t.Run("without its register", func(t *testing.T) {
		l := mustParse(t, ovmf().raw())
		values := own(l, mustBank(t, "sha256"), pcrs)
		delete(values, 2)
		b, err := l.Replay("sha256", values)
		if err != nil {
			t.Fatal(err)
		}
		if b.Facts().Images != nil {
			t.Errorf("images %v without pcr[2]", b.Facts().Images)
		}
	})
}

// TestCommandLineForged is what somebody can do who booted with another one.
func TestCommandLineForged(t *testing.T) {
	cmd := func(b *builder, s string) *builder {
		return b.add(8, typeIPL, []byte(s), []byte("grub_cmd: "+s))
	}
	line := func(b *builder, s string) *builder {
		return b.add(8, typeIPL, []byte(s), []byte("kernel_cmdline: "+s))
	}
	good, evil := "/vmlinuz good", "/vmlinuz evil"
	for _, c := range []struct {
		name string
		log  *builder
		want string
	}{
		{"honest", line(cmd(newLog("sha256"), "linux "+good), good), good},
		{"extended afterwards", line(line(cmd(newLog("sha256"), "linux "+evil), evil), good), evil},
		{"names swapped", line(cmd(cmd(newLog("sha256"), "linux "+evil), evil), good), evil},
		{"a whole command extended", line(cmd(line(cmd(newLog("sha256"), "linux "+evil), evil), "linux "+good), good), ""},
		{"the real ones hidden", line(cmd(newLog("sha256").add(8, typeIPL, []byte("linux "+evil), nil).add(8, typeIPL, []byte(evil), nil), "linux "+good), good), ""},
		{"another loading command", line(cmd(line(cmd(newLog("sha256"), "multiboot2 "+evil), evil), "linux "+good), good), ""},
		{"none loaded", line(cmd(newLog("sha256"), "set x=y"), good), ""},
		{"nothing follows", cmd(newLog("sha256"), "linux "+good), ""},
		{"stub", newLog("sha256").plain(12, typeIPL, utf16z("quiet")), "quiet"},
		{"stub, extended", newLog("sha256").plain(12, typeIPL, utf16z("evil")).plain(12, typeIPL, utf16z("quiet")), ""},
		{"stub, not text", newLog("sha256").plain(12, typeIPL, "\x00\x00\x00\x00"), ""},
		{"two loaders", line(cmd(newLog("sha256").plain(12, typeIPL, utf16z("quiet")), "linux "+good), good), ""},
		{"systemd-boot", newLog("sha256").add(8, typeIPL, []byte(utf16z("ro quiet"))[:16], []byte(utf16z("ro quiet"))), "ro quiet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := boot(t, c.log.raw()).Facts()
			switch {
			case c.want == "" && f.CommandLine != nil:
				t.Errorf("command line %q, want none", f.CommandLine.Value)
			case c.want != "" && (f.CommandLine == nil || f.CommandLine.Value != c.want):
				t.Errorf("command line %v, missing %v", f.CommandLine, f.Missing)
			}
		})
	}
}

// TestStub is PCR 9 with the kernel's EFI stub, and PCR 11 with systemd's.
func TestStub(t *testing.T) {
	b := mustBank(t, "sha256")
	tag := func(id uint32) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(id)) }
	options, initrd := []byte(utf16z("quiet")), []byte("a RAM disk")
	f := boot(t, ovmf().raw()).Facts()
	if f.Initrd == nil || !bytes.Equal(f.Initrd.Value, b.sum(initrd)) || !bytes.Equal(f.LoadOptions.Value, b.sum([]byte(utf16z("console=ttyS0")))) {
		t.Errorf("initrd %v, load options %v", f.Initrd, f.LoadOptions)
	}
	for name, c := range map[string]struct {
		log             *builder
		options, initrd bool
	}{
		"options alone":    {newLog("sha256").add(9, typeEventTag, options, tag(tagLoadOptions)), true, false},
		"RAM disk alone":   {newLog("sha256").add(9, typeEventTag, initrd, tag(tagInitrd)), false, false},
		"another order":    {newLog("sha256").add(9, typeEventTag, initrd, tag(tagInitrd)).add(9, typeEventTag, options, tag(tagLoadOptions)), false, false},
		"extended":         {newLog("sha256").add(9, typeEventTag, options, tag(tagLoadOptions)).add(9, typeEventTag, initrd, tag(tagInitrd)).add(9, typeEventTag, initrd, tag(tagInitrd)), false, false},
		"renamed":          {newLog("sha256").add(9, typeIPL, options, tag(tagLoadOptions)).add(9, typeEventTag, initrd, tag(tagInitrd)), false, false},
		"too short a tag":  {newLog("sha256").add(9, typeEventTag, options, tag(tagLoadOptions)[:7]), false, false},
		"grub's files too": {newLog("sha256").add(9, typeIPL, []byte("kernel"), []byte("/vmlinuz")).add(9, typeEventTag, options, tag(tagLoadOptions)), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := boot(t, c.log.raw()).Facts()
			if (f.LoadOptions != nil) != c.options || (f.Initrd != nil) != c.initrd {
				t.Errorf("load options %v, initrd %v", f.LoadOptions, f.Initrd)
			}
		})
	}
	section := func(l *builder, name, content string) *builder {
		return l.add(11, typeIPL, []byte(name+"\x00"), []byte(utf16z(name))).add(11, typeIPL, []byte(content), []byte(utf16z(name)))
	}
	f = boot(t, section(section(newLog("sha256"), ".linux", "MZ kernel"), ".initrd", "disk").raw()).Facts()
	want := []Section{{Name: ".linux", Digest: b.sum([]byte("MZ kernel"))}, {Name: ".initrd", Digest: b.sum([]byte("disk"))}}
	if f.Sections == nil || !cmp.Equal(f.Sections.Value, want) {
		t.Errorf("sections %v", f.Sections)
	}
	for name, log := range map[string]*builder{
		"twice":        section(section(newLog("sha256"), ".initrd", "evil"), ".initrd", "disk"),
		"no pair":      section(newLog("sha256"), ".linux", "MZ kernel").plain(11, typeIPL, "enter-initrd"),
		"unknown name": section(newLog("sha256"), ".bss", "x"),
	} {
		if f := boot(t, log.raw()).Facts(); f.Sections != nil {
			t.Errorf("%s: sections %v", name, f.Sections)
		}
	}
}
