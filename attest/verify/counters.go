package verify

import (
	"bytes"
	"fmt"

	"apocryph/attest"
	"apocryph/proto/status"
)

// Seen is what a verifier remembers of an attestation key from one verification
// to the next.
type Seen struct {
	// AKName is 34 bytes; BootEpoch is what the claims said, of any length.
	AKName, BootEpoch []byte
	// The TPM's counters. It counts up at every reset and, from 0 again, at every
	// restart after a suspension (TPM 2.0 Part 2, 10.11.1).
	ResetCount, RestartCount uint32
}

// Saw returns what to remember of an accepted result, and false where there is no
// TPM in it.
func Saw(r *attest.Result) (Seen, bool) {
	if r == nil || r.TPM == nil || r.Claims == nil {
		return Seen{}, false
	}
	return Seen{
		AKName: bytes.Clone(r.TPM.AKName), BootEpoch: bytes.Clone(r.Claims.BootEpoch),
		ResetCount: r.TPM.ResetCount, RestartCount: r.TPM.RestartCount,
	}, true
}

// Follows checks that a later result of the same key has counters that can come
// after those that were seen; the check belongs behind those of the result. A
// TPM counts up, so lower numbers mean that its state was put back or cleared,
// or that evidence was kept from before. A TPM that was reset while the software
// says that it is the same boot was reset under a running system: its registers
// are then whatever somebody extended afresh. A new boot without a reset is
// possible, where one kernel starts another.
//
// The error is untrusted "attest.reset_count", or invalid_argument where the two
// are not of one key.
func (last Seen) Follows(r *attest.Result) (attest.Check, error) {
	now, ok := Saw(r)
	if !ok || len(last.AKName) == 0 || !bytes.Equal(now.AKName, last.AKName) {
		return attest.Check{}, status.New(status.InvalidArgument, "attest.seen", "attestation key: got %s, want that of what was seen, %s", short(now.AKName), short(last.AKName))
	}
	s := &steps{anchor: attest.AnchorAgentAsserted}
	if n := len(r.Checks); n > 0 {
		// What vouches for the quote, whose checks are last.
		s.anchor = r.Checks[n-1].Anchor
	}
	got := fmt.Sprintf("%d resets, %d restarts", now.ResetCount, now.RestartCount)
	want := fmt.Sprintf("at least %d resets, %d restarts", last.ResetCount, last.RestartCount)
	var err error
	switch {
	case now.ResetCount < last.ResetCount, now.ResetCount == last.ResetCount && now.RestartCount < last.RestartCount:
		err = s.fail(codeResets, got, want, nil).WithHint("if the TPM was cleared or exchanged on purpose, forget what was seen of this machine")
	case now.ResetCount > last.ResetCount && len(last.BootEpoch) > 0 && bytes.Equal(now.BootEpoch, last.BootEpoch):
		err = s.fail(codeResets, got+" in one boot", fmt.Sprintf("%d resets, or another boot", last.ResetCount), nil)
	default:
		s.pass(codeResets, got)
	}
	return s.checks[0], err
}
