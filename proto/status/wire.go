package status

import (
	"math"
	"time"

	"apocryph/proto/statuspb"
)

// ToWire is what a peer may be told about e: the text of an internal error is
// withheld, and every text is made printable and capped, for protobuf refuses
// a string that is not UTF-8 and an error must always be sendable. Nil is nil.
func ToWire(e *Error) *statuspb.Status {
	if e == nil {
		return nil
	}
	e = Public(e)
	s := &statuspb.Status{
		Code:         statuspb.Code(e.Code),
		Reason:       printable(e.Reason),
		Detail:       printable(e.Detail),
		Hint:         printable(e.Hint),
		RetryAfterMs: uint64(max(0, e.RetryAfter).Milliseconds()),
	}
	for _, f := range e.Faults[:min(len(e.Faults), maxPeerFaults)] {
		s.Faults = append(s.Faults, &statuspb.Fault{
			Field: printable(f.Field),
			Got:   printable(f.Got),
			Want:  printable(f.Want),
			Line:  uint32(min(max(f.Line, 0), math.MaxInt32)),
		})
	}
	// The last lines are the ones that say why.
	for _, l := range e.Log[max(0, len(e.Log)-maxPeerLines):] {
		s.Log = append(s.Log, printable(l))
	}
	return s
}

// FromWire is the error that a peer sent, as it came: give it to [FromPeer]
// before it goes on. A status of no class is [Unavailable], so that a refusal
// is never taken for success. Nil is nil.
func FromWire(s *statuspb.Status) *Error {
	if s == nil {
		return nil
	}
	e := &Error{
		// A negative number becomes a large one, which no version knows.
		Code:       Code(uint32(s.GetCode())),
		Reason:     s.GetReason(),
		Detail:     s.GetDetail(),
		Hint:       s.GetHint(),
		RetryAfter: time.Duration(min(s.GetRetryAfterMs(), math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond,
		Log:        s.GetLog(),
	}
	if e.Code == OK {
		e.Code = Unavailable
	}
	for _, f := range s.GetFaults() {
		e.Faults = append(e.Faults, Fault{
			Field: f.GetField(), Got: f.GetGot(), Want: f.GetWant(),
			Line: int(min(f.GetLine(), math.MaxInt32)),
		})
	}
	return e
}
