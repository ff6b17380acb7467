package tlog

import (
	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

// Hash is a node of the tree, SHA-256.
type Hash = tlog.Hash

// The reasons of this package's errors.
const (
	// reasonParse: something is not in form; reasonTooLarge: over its cap.
	reasonParse    = "tlog.parse"
	reasonTooLarge = "tlog.too_large"
	// reasonInvalid: something that was to be written has faults.
	reasonInvalid = "tlog.invalid"
	// reasonSignature: the attested key did not sign this head.
	reasonSignature = "tlog.signature"
	// reasonBoot: the head is of another boot than the claims.
	reasonBoot = "tlog.boot"
	// reasonStale: the head is too old, or from the future.
	reasonStale = "tlog.stale"
	// reasonNotIncluded: the entry is not shown to be in the tree.
	reasonNotIncluded = "tlog.not_included"
	// reasonRollback: the tree is smaller than one that was seen before.
	reasonRollback = "tlog.rollback"
	// reasonEquivocation: two trees of one size have different roots.
	reasonEquivocation = "tlog.equivocation"
	// reasonInconsistent: the larger tree is not shown to begin with the smaller.
	reasonInconsistent = "tlog.inconsistent"
	// reasonUnproven: an accusation that does not hold.
	reasonUnproven = "tlog.unproven"
	// reasonRelease: a commitment is not to this release.
	reasonRelease = "tlog.release"
	reasonRange   = "tlog.range"
	reasonFull    = "tlog.full"
	// reasonMoved: something else appended to the log at the same time.
	reasonMoved = "tlog.moved"
	// reasonDamaged: the storage does not hold what was stored.
	reasonDamaged = "tlog.damaged"
)

// CheckCode is the stable code of a failed check of the transparency log, by the
// reason of its error; "" for an error that is none of a verifier's.
func CheckCode(err error) string {
	switch status.ReasonOf(err) {
	case reasonNotIncluded, reasonRelease:
		return "ATT-140"
	case reasonEquivocation, reasonInconsistent, reasonRollback:
		return "ATT-141"
	case reasonStale, reasonBoot:
		return "ATT-024"
	case reasonSignature:
		return "ATT-040"
	case reasonTooLarge:
		return "ATT-010"
	case reasonParse:
		return "ATT-011"
	}
	return ""
}

type faults []status.Fault

func (f *faults) add(field, got, want string) {
	*f = append(*f, status.Fault{Field: field, Got: got, Want: want})
}

func (f faults) invalid(reason, what string) error {
	if len(f) == 0 {
		return nil
	}
	return status.Invalid(reason, what, f)
}

func refuse(reason, format string, args ...any) *status.Error {
	return status.New(status.Untrusted, reason, format, args...)
}

func notForm(format string, args ...any) *status.Error {
	return status.New(status.InvalidArgument, reasonParse, format, args...)
}

func tooLarge(what string, got, most int) error {
	return status.New(status.InvalidArgument, reasonTooLarge, "%s: got %d bytes, want at most %d", what, got, most)
}
