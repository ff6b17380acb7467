package attest

import (
	"bytes"
	"slices"
)

// BootFacts is what a boot's event log proves after it was replayed against
// authentic registers. The fields mean what those of the same name in package
// bootlog do; what was not proven is nil, and a policy that asks for it refuses.
// All of it is the word of the firmware and loaders that ran.
type BootFacts struct {
	// Bank is that of the registers and digests: "sha256" for a TPM, "sha384" for
	// a TD.
	Bank string
	// Events are the digests that extended each register which the log was
	// replayed against, in order: by PCR, or by RTMR. A register that is there
	// without digests was not extended. Use [BootFacts.Compare].
	Events map[int][][]byte
	// PodLogStart is what the log alone makes of the pod log's register: PCR 14 in
	// the SHA-256 bank, 32 bytes, or RTMR 3, 48 bytes. It proves nothing until
	// the pod log's replay goes from there to the quoted value.
	PodLogStart []byte
	// SecureBoot says that the firmware verified signatures.
	SecureBoot *bool
	// PK, KEK, DB and DBX are the SHA-256 of the contents of these variables.
	PK, KEK, DB, DBX *[32]byte
	// Images are all digests that may be those of a program that the firmware
	// started. Hold each of them against a list.
	Images [][]byte
	// FirmwareVersion is printable ASCII, or hex with the prefix "0x".
	FirmwareVersion *string
	// Firmware is the digests of the firmware's volumes.
	Firmware [][]byte
	// CommandLine is the kernel's. It may have any bytes: quote it.
	CommandLine *string
	// Script is everything that GRUB measured as text, in order. It may have any
	// bytes: quote it.
	Script []string
	// LoadOptions is the digest of the command line as the kernel's EFI stub got
	// it, Initrd that of the initial RAM disk.
	LoadOptions, Initrd []byte
	// Sections are the parts of a unified kernel image.
	Sections []BootSection
	// Missing tells why facts are missing that one would expect.
	Missing []BootMissing
}

// BootSection is one part of a unified kernel image.
type BootSection struct {
	// Name is such as ".cmdline".
	Name   string
	Digest []byte
}

// BootMissing is a fact that is not proven although its register was replayed.
type BootMissing struct {
	// Fact is the field's name in snake_case, such as "secure_boot".
	Fact, Why string
}

// Compare holds a register's digests against wanted ones without regard to
// order: each as many times as it is wanted. Both results empty is equal. It is
// false for a register that the log was not replayed against, and for nil facts.
func (b *BootFacts) Compare(register int, want [][]byte) (missing, unexpected [][]byte, ok bool) {
	if b == nil {
		return nil, nil, false
	}
	got, ok := b.Events[register]
	if !ok {
		return nil, nil, false
	}
	missing = slices.Clone(want)
	for _, g := range got {
		if i := slices.IndexFunc(missing, func(w []byte) bool { return bytes.Equal(w, g) }); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		unexpected = append(unexpected, g)
	}
	return missing, unexpected, true
}
