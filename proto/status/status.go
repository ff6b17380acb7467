package status

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxPeerText bounds, in bytes, each text that is taken over from a peer's
// status, so that a peer cannot fill a terminal or a log.
const maxPeerText = 512

// maxPeerFaults and maxPeerLines bound how many faults and log lines of a peer
// are shown.
const (
	maxPeerFaults = 64
	maxPeerLines  = 64
)

// Error is a classified error. Everything but the cause may be shown to a stranger.
type Error struct {
	Code Code
	// Reason is a stable dotted slug.
	Reason string
	// Detail is one lowercase sentence without a full stop.
	Detail string
	// Hint says what the user can do about it; may be empty.
	Hint string
	// RetryAfter is how long to wait before trying again; 0 when unknown.
	RetryAfter time.Duration
	// Faults lists each thing wrong with an input.
	Faults []Fault
	// Log is the last lines that an app wrote before it failed.
	Log []string

	cause error
}

// Fault is one thing wrong with one field of an input.
type Fault struct {
	// Field is a path such as "containers[0].ports[1].port".
	Field string
	// Got and Want are short; Want may list what is allowed.
	Got, Want string
	// Line is the line of the source, 0 where there is none.
	Line int
}

// String is the fault on one line, with its line number where it has one.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	b.WriteString(f.Field)
	if f.Got != "" {
		fmt.Fprintf(&b, ": got %s", f.Got)
	}
	if f.Want != "" {
		fmt.Fprintf(&b, ", want %s", f.Want)
	}
	return b.String()
}

// New returns an error of the given class. The detail is formatted like
// fmt.Sprintf; %w is not meant for it, see [Wrap].
func New(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Wrap is [New] with a private cause: errors.Is and errors.As see it, peers do not.
func Wrap(cause error, code Code, reason, format string, args ...any) *Error {
	e := New(code, reason, format, args...)
	e.cause = cause
	return e
}

// Invalid returns an invalid_argument error that lists faults, all of them at once.
func Invalid(reason, what string, faults []Fault) *Error {
	detail := fmt.Sprintf("%s has %d faults", what, len(faults))
	if len(faults) == 1 {
		detail = fmt.Sprintf("%s: %s", what, faults[0])
	}
	return &Error{Code: InvalidArgument, Reason: reason, Detail: detail, Faults: faults}
}

// WithHint returns a copy of e with the hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithRetryAfter returns a copy of e with the delay set.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error is the detail, followed by the cause: text for this side's logs.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Detail
	}
	return e.Detail + ": " + e.cause.Error()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// Is matches a target *Error by code and reason; an empty reason matches any.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Reason == "" || t.Reason == e.Reason)
}

// CodeOf classifies any error. Nil is OK; context errors have their own codes;
// what carries no status is Internal.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}

// ReasonOf returns the reason of err, or "" where it has none.
func ReasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// Public returns what may be told to a stranger about err. The text of an
// internal or unclassified error is withheld.
func Public(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Code != Internal {
		c := *e
		c.cause = nil
		return &c
	}
	c := CodeOf(err)
	switch c {
	case DeadlineExceeded:
		return New(c, "deadline", "the time for this call is over")
	case Canceled:
		return New(c, "canceled", "the call was canceled")
	}
	return New(Internal, "internal", "internal error")
}

// FromPeer re-classes a status that a peer sent. It is a stranger's claim: its
// texts are capped and made printable, its internal errors become unavailable
// here, and codes that this version does not know become unavailable.
func FromPeer(e *Error) *Error {
	c := *e
	c.cause = nil
	switch {
	case c.Code == Internal, c.Code == Canceled, c.Code == OK, !c.Code.Known():
		c.Code = Unavailable
	}
	c.Reason, c.Detail, c.Hint = printable(c.Reason), printable(c.Detail), printable(c.Hint)
	if c.Detail == "" {
		c.Detail = "the peer refused and gave no reason"
	}
	if len(c.Faults) > maxPeerFaults {
		c.Faults = c.Faults[:maxPeerFaults]
	}
	faults := make([]Fault, len(c.Faults))
	for i, f := range c.Faults {
		faults[i] = Fault{Field: printable(f.Field), Got: printable(f.Got), Want: printable(f.Want), Line: max(f.Line, 0)}
	}
	c.Faults = faults
	lines := make([]string, min(len(c.Log), maxPeerLines))
	for i := range lines {
		lines[i] = printable(c.Log[i])
	}
	c.Log = lines
	c.RetryAfter = max(0, min(c.RetryAfter, 24*time.Hour))
	return &c
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	for len(s) > maxPeerText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
