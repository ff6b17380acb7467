package bootlog

import "fmt"

// Type is what an event says of itself. No register covers it: whoever hands
// over the log may write any type on any event.
type Type uint32

// The types that this package looks at (TCG PC Client Platform Firmware Profile
// 1.06, table 27).
const (
	typeNoAction     Type = 0x00000003
	typeEventTag     Type = 0x00000006
	typeCRTMVersion  Type = 0x00000008
	typeIPL          Type = 0x0000000d
	typeVariableBoot Type = 0x80000002
	typeVariableBot2 Type = 0x8000000c
	typeHCRTM        Type = 0x80000010
	typeAuthority    Type = 0x800000e0
)

var typeNames = map[Type]string{
	0x00000000: "EV_PREBOOT_CERT",
	0x00000001: "EV_POST_CODE",
	0x00000002: "EV_UNUSED",
	0x00000003: "EV_NO_ACTION",
	0x00000004: "EV_SEPARATOR",
	0x00000005: "EV_ACTION",
	0x00000006: "EV_EVENT_TAG",
	0x00000007: "EV_S_CRTM_CONTENTS",
	0x00000008: "EV_S_CRTM_VERSION",
	0x00000009: "EV_CPU_MICROCODE",
	0x0000000a: "EV_PLATFORM_CONFIG_FLAGS",
	0x0000000b: "EV_TABLE_OF_DEVICES",
	0x0000000c: "EV_COMPACT_HASH",
	0x0000000d: "EV_IPL",
	0x0000000e: "EV_IPL_PARTITION_DATA",
	0x0000000f: "EV_NONHOST_CODE",
	0x00000010: "EV_NONHOST_CONFIG",
	0x00000011: "EV_NONHOST_INFO",
	0x00000012: "EV_OMIT_BOOT_DEVICE_EVENTS",
	0x00000013: "EV_POST_CODE2",
	0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
	0x80000002: "EV_EFI_VARIABLE_BOOT",
	0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
	0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
	0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
	0x80000006: "EV_EFI_GPT_EVENT",
	0x80000007: "EV_EFI_ACTION",
	0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
	0x80000009: "EV_EFI_HANDOFF_TABLES",
	0x8000000a: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
	0x8000000b: "EV_EFI_HANDOFF_TABLES2",
	0x8000000c: "EV_EFI_VARIABLE_BOOT2",
	0x8000000d: "EV_EFI_GPT_EVENT2",
	0x80000010: "EV_EFI_HCRTM_EVENT",
	0x800000e0: "EV_EFI_VARIABLE_AUTHORITY",
	0x800000e1: "EV_EFI_SPDM_FIRMWARE_BLOB",
	0x800000e2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
}

// String is the specification's name, or the number in hex.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("0x%08x", uint32(t))
}

// Digest is an event's digest in one bank.
type Digest struct {
	// Bank is "sha1", "sha256", "sha384" or "sha512", or "alg-0x…" for an
	// algorithm that is not known here.
	Bank string
	// Value is as long as the bank's hash.
	Value []byte
}

// Event is one entry of a log. Nothing of it is proven: see [Measurement].
type Event struct {
	// Index counts the log's entries from 0. The header, which lists the banks,
	// has none.
	Index int
	// Register is the number in the log: a PCR, or a CC measurement register, in
	// which 0 is MRTD and n is RTMR n-1.
	Register int
	Type     Type
	Digests  []Digest
	// Data may not be changed.
	Data []byte
}

// digest returns the value for a bank, nil where there is none.
func (e *Event) digest(bank string) []byte {
	for _, d := range e.Digests {
		if d.Bank == bank {
			return d.Value
		}
	}
	return nil
}

// Measurement is an event that extended a register whose value was proven.
// Digest, the register and the order among that register's measurements are
// proven by it. Type, Data and Index are not.
type Measurement struct {
	Event
	// Digest is what was extended, in the bank of the replay.
	Digest []byte
	// Verified says that Content is known.
	Verified bool
	// Content is the bytes that hash to Digest, nil where Data does not hold
	// them. It is often all of Data and sometimes a part: what of Data is outside
	// is not proven.
	Content []byte
}
