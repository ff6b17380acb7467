package tlog

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"time"
)

// maxSkew is how far in the future a head may be: clocks differ.
const maxSkew = 5 * time.Minute

// Verifier checks one answer of a log. All fields but Last are demanded.
type Verifier struct {
	// Peer is the text form of the provider's peer id, Key its receipt key and
	// BootEpoch its boot: all of them from claims that passed verification.
	Peer      string
	Key       ed25519.PublicKey
	BootEpoch []byte
	// Last is the last head of this log that was verified, under whichever key.
	// It is nil at the first contact only: without it a log can be rewritten
	// unnoticed. Keep the note of it and its key as well, see [Equivocation].
	Last *Head
	// Now is the time, and MaxAge how old a head may be.
	Now    time.Time
	MaxAge time.Duration
}

// Proof is what a provider shows of an entry.
type Proof struct {
	// Head is a signed head.
	Head []byte
	// Inclusion proves the entry, Consistency that the tree began with Last; it
	// is not looked at where there is no Last.
	Inclusion   Inclusion
	Consistency Consistency
}

// Check verifies that the entry is in the log, that the log is the provider's
// and current, and that it has only grown. The head is to be kept as the next
// Last. Errors, in the order of the checks: those of [Verifier.Advance], and
// those of [CheckInclusion].
func (v Verifier) Check(e Entry, p Proof) (Head, error) {
	h, err := v.Advance(p.Head, p.Consistency)
	if err != nil {
		return Head{}, err
	}
	if err := CheckInclusion(h, e, p.Inclusion); err != nil {
		return Head{}, err
	}
	return h, nil
}

// Advance is [Verifier.Check] without an entry, for whoever only watches a log.
// Errors, in the order of the checks: those of [OpenHead]; untrusted "tlog.boot"
// and "tlog.stale"; those of [CheckConsistency].
func (v Verifier) Advance(note []byte, p Consistency) (Head, error) {
	if err := v.check(); err != nil {
		return Head{}, err
	}
	h, err := OpenHead(note, v.Peer, v.Key)
	if err != nil {
		return Head{}, err
	}
	if !bytes.Equal(h.BootEpoch, v.BootEpoch) {
		return Head{}, refuse(reasonBoot, "the log's head is of another boot of the provider")
	}
	if age := v.Now.Sub(h.Time); age > v.MaxAge || age < -maxSkew {
		return Head{}, refuse(reasonStale, "the log's head was signed at %s, want within %s of %s", h.Time.Format(time.RFC3339), v.MaxAge, v.Now.UTC().Format(time.RFC3339)).
			WithHint("when it happens at once, compare the clocks of both machines")
	}
	if v.Last != nil {
		if err := CheckConsistency(*v.Last, h, p); err != nil {
			return Head{}, err
		}
	}
	return h, nil
}

// check refuses a verifier that would leave something out.
func (v Verifier) check() error {
	var f faults
	if len(v.Key) != ed25519.PublicKeySize {
		f.add("key", fmt.Sprintf("%d bytes", len(v.Key)), "the attested receipt key")
	}
	if len(v.BootEpoch) == 0 {
		f.add("boot_epoch", "none", "that of the claims")
	}
	if v.Now.IsZero() || v.MaxAge <= 0 {
		f.add("max_age", v.MaxAge.String(), "a time and an age above 0")
	}
	return f.invalid(reasonInvalid, "verifier of the transparency log")
}
