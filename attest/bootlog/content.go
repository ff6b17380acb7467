package bootlog

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
)

// grubPrefixes are what GRUB logs before the bytes that it measures (the GRUB
// manual, "Measured Boot"; the last two are of Fedora's older patch). They are
// not hashed: anybody may turn one into another.
var grubPrefixes = []string{"grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_kernel_cmdline ", "grub_cmd "}

// content finds the bytes of an event's data that its digest is of. The type
// only says where to look: whatever hashes to the digest was measured.
func content(b bank, e *Event, digest []byte) ([]byte, bool) {
	for _, c := range candidates(e) {
		if bytes.Equal(b.sum(c), digest) {
			return c, true
		}
	}
	return nil, false
}

// candidates are at most four parts of the data, so that a log costs no more
// than four hashes of its size.
func candidates(e *Event) [][]byte {
	d := e.Data
	cs := [][]byte{d}
	switch e.Type {
	case typeVariableBoot, typeVariableBot2:
		// EDK II hashes the variable's contents without its name.
		if v, ok := parseVariable(d); ok {
			cs = append(cs, v.data)
		}
	case typeAuthority:
		// Shim before 15.3 logs one byte too many.
		if len(d) > 0 {
			cs = append(cs, d[:len(d)-1])
		}
	case typeIPL:
		for _, p := range grubPrefixes {
			if bytes.HasPrefix(d, []byte(p)) {
				d = d[len(p):]
				cs = append(cs, d)
				break
			}
		}
		// Some loaders log a final zero, of one byte or a UTF-16 one, that they do
		// not hash.
		if n := len(d); n > 0 && d[n-1] == 0 {
			cs = append(cs, d[:n-1])
			if n > 1 && d[n-2] == 0 {
				cs = append(cs, d[:n-2])
			}
		}
	}
	return cs
}

// guid is an EFI_GUID as it lies in memory.
type guid [16]byte

var (
	// EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c.
	globalVariable = guid{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
	// EFI_IMAGE_SECURITY_DATABASE, d719b2cb-3d3a-4596-a3bc-dad00e67656f.
	securityDatabase = guid{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}
)

// variable is a UEFI_VARIABLE_DATA (PFP 1.06, 10.4.2.1).
type variable struct {
	vendor guid
	name   string
	data   []byte
}

// parseVariable takes the structure only where it fills b.
func parseVariable(b []byte) (variable, bool) {
	const head = 16 + 8 + 8
	if len(b) < head {
		return variable{}, false
	}
	chars, size := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	rest := b[head:]
	if chars > uint64(len(rest)/2) || size != uint64(len(rest))-2*chars {
		return variable{}, false
	}
	v := variable{vendor: guid(b[:16]), data: rest[2*chars:]}
	v.name = text16(rest[:2*chars])
	return v, true
}

// encode is the structure that firmware hashes.
func (v variable) encode() []byte {
	name := utf16.Encode([]rune(v.name))
	b := append([]byte(nil), v.vendor[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(name)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v.data)))
	for _, c := range name {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return append(b, v.data...)
}

// text16 decodes little-endian UTF-16 of an even length.
func text16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
