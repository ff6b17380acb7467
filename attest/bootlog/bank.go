package bootlog

import (
	"crypto"

	// The hash functions of the banks, for crypto.Hash.New.
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"

	"apocryph/proto/status"
)

// bank is one hash algorithm that events are logged with.
type bank struct {
	// id is a TPM_ALG_ID (TPM 2.0 Part 2, 6.3).
	id   uint16
	name string
	hash crypto.Hash
	// weak banks are listed and never replayed for a caller: SHA-1 collisions are
	// practical, so an event of it stands for more than one content.
	weak bool
}

var banks = [...]bank{
	{id: 0x0004, name: "sha1", hash: crypto.SHA1, weak: true},
	{id: 0x000b, name: "sha256", hash: crypto.SHA256},
	{id: 0x000c, name: "sha384", hash: crypto.SHA384},
	{id: 0x000d, name: "sha512", hash: crypto.SHA512},
}

func bankByID(id uint16) (bank, bool) {
	for _, b := range banks {
		if b.id == id {
			return b, true
		}
	}
	return bank{}, false
}

func bankByName(name string) (bank, bool) {
	for _, b := range banks {
		if b.name == name {
			return b, true
		}
	}
	return bank{}, false
}

func (b bank) sum(parts ...[]byte) []byte {
	h := b.hash.New()
	for _, p := range parts {
		// A hash's Write never returns an error.
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

// strong returns the bank if this log has it and it may carry a proof.
func (l *Log) strong(name string) (bank, error) {
	b, known := bankByName(name)
	if !known || b.weak {
		return bank{}, status.New(status.InvalidArgument, "bootlog.bank", "bank %.16q, want sha256, sha384 or sha512", name)
	}
	for _, has := range l.banks {
		if has == name {
			return b, nil
		}
	}
	e := status.New(status.Untrusted, "bootlog.bank", "the boot log has no %s digests", name)
	e.Faults = []status.Fault{{Field: "banks", Got: joined(l.banks), Want: name}}
	return bank{}, e.WithHint("enable the TPM's %s bank in the firmware's settings and boot again", name)
}
