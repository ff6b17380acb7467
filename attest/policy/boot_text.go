package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"apocryph/attest"
)

// maxText bounds a text of a boot in a policy, in bytes; a kernel takes no
// longer command line (COMMAND_LINE_SIZE on x86: 2048).
const maxText = 2048

var sectionName = regexp.MustCompile(`^\.[a-z0-9]{1,15}$`)

// plainText reports whether a text can be told to people and written to a file
// as it is.
func plainText(s string) bool {
	return s != "" && len(s) <= maxText && utf8.ValidString(s) && oneLine(s) == s
}

func (d *decoder) boot(n *yaml.Node, path string) *Boot {
	var b Boot
	f := d.mapping(n, path, "secure_boot", "keys", "images", "firmware", "firmware_versions", "command_lines", "load_options", "initrds", "sections", "events")
	if v := f["secure_boot"]; v != nil {
		b.SecureBoot = d.boolean(v, path+".secure_boot")
	}
	if v := f["keys"]; v != nil {
		keys := d.mapping(v, path+".keys", bootVariables...)
		b.Keys = map[string][][32]byte{}
		for _, name := range bootVariables {
			if list := d.fingerprints(keys[name], path+".keys."+name); len(list) > 0 {
				b.Keys[name] = list
			}
		}
	}
	const want = "hexadecimal digits"
	b.Images = d.values(f["images"], path+".images", want)
	b.Firmware = d.values(f["firmware"], path+".firmware", want)
	b.LoadOptions = d.values(f["load_options"], path+".load_options", want)
	b.Initrds = d.values(f["initrds"], path+".initrds", want)
	b.FirmwareVersions = d.texts(f["firmware_versions"], path+".firmware_versions")
	b.CommandLines = d.texts(f["command_lines"], path+".command_lines")
	if v := f["sections"]; v != nil {
		b.Sections = map[string][][]byte{}
		d.entries(v, path+".sections", func(key, value *yaml.Node) {
			at := path + ".sections." + key.Value
			if !sectionName.MatchString(key.Value) {
				d.fault(key, printable(at), quote(key.Value), "the name of a section, such as .linux")
				return
			}
			b.Sections[key.Value] = d.values(value, at, want)
		})
	}
	if v := f["events"]; v != nil {
		b.Events = d.registers(v, path+".events", maxPCR, want)
	}
	return &b
}

func (d *decoder) texts(n *yaml.Node, path string) []string {
	var list []string
	d.list(n, path, func(n *yaml.Node, path string) {
		s, _ := d.text(n, path)
		list = append(list, s)
	})
	return list
}

func (v *validator) boot(s *ReferenceSet, at string) {
	b := s.Boot
	if b == nil {
		return
	}
	if s.PCRs == nil && s.TEE == attest.TPM2 && !b.proves() {
		v.fault(at, "nothing that says what booted", "images, events, or secure_boot with keys.db; or the values of pcrs")
	}
	size, last := 0, uint32(maxPCR)
	if s.TEE == attest.TDX {
		size, last = measurementSize, podLogRTMR-1
	} else if s.PCRs != nil {
		size = bankSizes[s.PCRs.Bank]
	}
	digests := func(field string, list [][]byte) {
		for i, d := range list {
			if size == 0 && len(d) != 32 && len(d) != measurementSize || size > 0 && len(d) != size {
				v.fault(fmt.Sprintf("%s.%s[%d]", at, field, i), fmt.Sprintf("%d bytes", len(d)), "a digest of the registers' bank")
			}
		}
	}
	digests("images", b.Images)
	digests("firmware", b.Firmware)
	digests("load_options", b.LoadOptions)
	digests("initrds", b.Initrds)
	for _, name := range slices.Sorted(maps.Keys(b.Keys)) {
		v.oneOf(at+".keys."+name, name, bootVariables)
		v.fingerprints(at+".keys."+name, b.Keys[name])
	}
	for _, name := range slices.Sorted(maps.Keys(b.Sections)) {
		digests("sections."+name, b.Sections[name])
		if len(b.Sections[name]) == 0 {
			v.fault(at+".sections."+name, "nothing", "at least one digest")
		}
	}
	for _, i := range slices.Sorted(maps.Keys(b.Events)) {
		field := "events." + strconv.Itoa(int(i))
		if i > last || s.TEE != attest.TDX && resettable(i) {
			v.fault(at+"."+field, fmt.Sprintf("register %d", i), fmt.Sprintf("0 to %d, and none that any program can reset", last))
		}
		digests(field, b.Events[i])
	}
	for field, list := range map[string][]string{"firmware_versions": b.FirmwareVersions, "command_lines": b.CommandLines} {
		for i, t := range list {
			if !plainText(t) {
				v.fault(fmt.Sprintf("%s.%s[%d]", at, field, i), quote(t), fmt.Sprintf("printable text of at most %d bytes", maxText))
			}
		}
	}
}

func (w *writer) boot(b *Boot) {
	w.line(2, "boot:")
	// Said where it is false, too: an empty mapping would not be one.
	w.line(3, "secure_boot: %t", b.SecureBoot)
	if len(b.Keys) > 0 {
		w.line(3, "keys:")
		for _, name := range slices.Sorted(maps.Keys(b.Keys)) {
			w.list(4, name, prints(b.Keys[name]))
		}
	}
	w.list(3, "images", plain(b.Images))
	w.list(3, "firmware", plain(b.Firmware))
	w.list(3, "firmware_versions", quotedAll(b.FirmwareVersions))
	w.list(3, "command_lines", quotedAll(b.CommandLines))
	w.list(3, "load_options", plain(b.LoadOptions))
	w.list(3, "initrds", plain(b.Initrds))
	if len(b.Sections) > 0 {
		w.line(3, "sections:")
		for _, name := range slices.Sorted(maps.Keys(b.Sections)) {
			w.list(4, name, plain(b.Sections[name]))
		}
	}
	if len(b.Events) > 0 {
		w.line(3, "events:")
		w.registers(4, b.Events)
	}
}

// quotedAll is each text as YAML's double-quoted form reads it back. Only
// printable text gets here from a file; what a program put in is quoted alike.
func quotedAll(list []string) []string {
	var s []string
	for _, t := range list {
		s = append(s, strconv.Quote(t))
	}
	return s
}

func (b *Boot) explain(say func(field, format string, args ...any)) {
	if b == nil {
		return
	}
	if b.SecureBoot {
		say("boot.secure_boot", "the firmware verified signatures (Secure Boot)")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Keys)) {
		say("boot.keys."+name, "the firmware's variable %s is %s", name, strings.Join(prints(b.Keys[name]), " or "))
	}
	only := func(field, what string, list [][]byte) {
		if len(list) > 0 {
			say("boot."+field, "%s %s", what, alternatives(list))
		}
	}
	only("images", "each program that the firmware started is", b.Images)
	only("firmware", "each volume of the firmware is", b.Firmware)
	if len(b.FirmwareVersions) > 0 {
		say("boot.firmware_versions", "the firmware calls itself %s", strings.Join(quotedAll(b.FirmwareVersions), " or "))
	}
	if len(b.CommandLines) > 0 {
		say("boot.command_lines", "the kernel's command line is %s", strings.Join(quotedAll(b.CommandLines), " or "))
	}
	only("load_options", "the options of the kernel's stub are", b.LoadOptions)
	only("initrds", "the initial disk is", b.Initrds)
	for _, name := range slices.Sorted(maps.Keys(b.Sections)) {
		say("boot.sections."+name, "section %s of the kernel image is %s", name, alternatives(b.Sections[name]))
	}
	for _, i := range slices.Sorted(maps.Keys(b.Events)) {
		say("boot.events."+strconv.Itoa(int(i)), "register %d was extended with exactly, in any order, %s", i, strings.ReplaceAll(alternatives(b.Events[i]), " or ", " and "))
	}
}
