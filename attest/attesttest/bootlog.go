package attesttest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// BootEvent is an entry of a boot log whose digests are of its data.
type BootEvent struct {
	// Register is the log's number: a PCR, or 1 and an RTMR's.
	Register int
	// Type is a number of the TCG PC Client Platform Firmware Profile, table 27.
	Type uint32
	Data []byte
}

// Types of events.
const (
	BootSeparator   = 0x00000004
	BootVersion     = 0x00000008
	BootText        = 0x0000000d
	BootVariable    = 0x80000001
	BootApplication = 0x80000003
)

// HonestBoot is what the firmware and loader of a machine with Secure Boot
// measure, with shim's use of PCR 14.
func HonestBoot() []BootEvent {
	separator := []byte{0, 0, 0, 0}
	return []BootEvent{
		{0, BootVersion, []byte("firmware 1.0")},
		{7, BootVariable, bootVariable("SecureBoot", []byte{1})},
		{7, BootVariable, bootVariable("PK", []byte("a platform key"))},
		{0, BootSeparator, separator},
		{7, BootSeparator, separator},
		{4, BootSeparator, separator},
		{4, BootApplication, []byte("MZ a loader")},
		{8, BootText, []byte("linux /vmlinuz root=/dev/sda1")},
		{8, BootText, []byte("/vmlinuz root=/dev/sda1")},
		{14, BootText, []byte("MokList")},
	}
}

// HonestTD is the same for a TD, whose registers hold more than one PCR's each.
func HonestTD() []BootEvent {
	separator := []byte{0, 0, 0, 0}
	return []BootEvent{
		{1, BootVariable, bootVariable("SecureBoot", []byte{1})},
		{1, BootSeparator, separator},
		{2, BootApplication, []byte("MZ a loader")},
		{3, BootText, []byte("linux /vmlinuz root=/dev/sda1")},
		{3, BootText, []byte("/vmlinuz root=/dev/sda1")},
		{4, BootText, []byte("before the pod log")},
	}
}

// bootVariable is a UEFI_VARIABLE_DATA of EFI_GLOBAL_VARIABLE.
func bootVariable(name string, data []byte) []byte {
	b := []byte{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
	units := utf16.Encode([]rune(name))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(units)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, data...)
}

// BootLog writes events in the crypto-agile form with SHA-256 and SHA-384.
func BootLog(events []BootEvent) []byte {
	le := binary.LittleEndian
	spec := slices.Concat([]byte("Spec ID Event03\x00"), []byte{0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 0x0b, 0, 32, 0, 0x0c, 0, 48, 0, 0})
	log := le.AppendUint32(nil, 0)
	log = le.AppendUint32(log, 3)
	log = append(log, make([]byte, 20)...)
	log = append(le.AppendUint32(log, uint32(len(spec))), spec...)
	for _, e := range events {
		small, large := sha256.Sum256(e.Data), sha512.Sum384(e.Data)
		log = le.AppendUint32(log, uint32(e.Register))
		log = le.AppendUint32(log, e.Type)
		log = le.AppendUint32(log, 2)
		log = append(le.AppendUint16(log, 0x0b), small[:]...)
		log = append(le.AppendUint16(log, 0x0c), large[:]...)
		log = append(le.AppendUint32(log, uint32(len(e.Data))), e.Data...)
	}
	return log
}

// RTMRs are the registers of a TD after events: RTMR i is number i+1 in the log.
func RTMRs(events []BootEvent) (out [4][48]byte) {
	for _, e := range events {
		digest := sha512.Sum384(e.Data)
		r := &out[e.Register-1]
		*r = sha512.Sum384(append(r[:], digest[:]...))
	}
	return out
}
