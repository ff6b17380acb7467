package podlog

import (
	"fmt"

	"apocryph/proto/status"
)

// The reasons of this package's errors.
const (
	// reasonReplay: the records do not extend to the register's value.
	reasonReplay = "podlog.replay"
	// reasonInit: they do, but from another start.
	reasonInit = "podlog.init"
	// reasonBoundary: the events are not in an order that means anything.
	reasonBoundary = "podlog.boundary"
	// reasonDuplicate: a sequence number is there twice.
	reasonDuplicate = "podlog.duplicate"
	// reasonGap: a sequence number is missing.
	reasonGap = "podlog.gap"
	// reasonMissing: a demanded event did not happen.
	reasonMissing = "podlog.missing"
	// reasonOpening: an opening is not that of the record.
	reasonOpening = "podlog.opening"
	// reasonPayload: a payload is not in form; reasonRecord: a record or a list is not.
	reasonPayload  = "podlog.payload"
	reasonRecord   = "podlog.record"
	reasonTooLarge = "podlog.too_large"
	// reasonEvent: an event cannot be logged; reasonSalt: its salt is none.
	reasonEvent = "podlog.event"
	reasonSalt  = "podlog.salt"
	reasonFull  = "podlog.full"
	reasonBank  = "podlog.bank"
	// reasonJournal: the write-ahead file is damaged.
	reasonJournal = "podlog.journal"
	// reasonPending: the journal is not ready for this step.
	reasonPending = "podlog.pending"
	// reasonRegister: the register cannot be explained by the journal.
	reasonRegister = "podlog.register"
	// reasonEpoch: the journal is of another boot.
	reasonEpoch = "podlog.epoch"
)

// CheckCode is the stable code of a failed check of the pod log, by the reason
// of its error; "" for an error that is none of a verifier's.
func CheckCode(err error) string {
	switch status.ReasonOf(err) {
	case reasonReplay, reasonGap:
		return "ATT-100"
	case reasonInit:
		return "ATT-101"
	case reasonBoundary:
		return "ATT-102"
	case reasonDuplicate:
		return "ATT-103"
	case reasonMissing:
		return "ATT-104"
	case reasonTooLarge:
		return "ATT-010"
	case reasonRecord, reasonPayload:
		return "ATT-011"
	case reasonOpening:
		return "ATT-100"
	}
	return ""
}

// maxFaults bounds how many faults one check lists: a log that is wrong
// throughout must not fill a terminal.
const maxFaults = 16

type faults []status.Fault

func (f *faults) add(field, got, want string) {
	if len(*f) < maxFaults {
		*f = append(*f, status.Fault{Field: field, Got: got, Want: want})
	}
}

// untrusted is a "no" that lists what is wrong.
func untrusted(reason, what string, list []status.Fault) *status.Error {
	e := status.New(status.Untrusted, reason, "%s", what)
	if len(list) > 0 {
		e = status.New(status.Untrusted, reason, "%s: %s", what, list[0])
	}
	e.Faults = list
	return e
}

func tooLarge(what string, got, most int) error {
	return status.New(status.InvalidArgument, reasonTooLarge, "%s: got %d bytes, want at most %d", what, got, most)
}

func notForm(what, format string, args ...any) error {
	return status.New(status.InvalidArgument, reasonRecord, "%s: %s", what, fmt.Sprintf(format, args...))
}
