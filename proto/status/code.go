package status

import "strconv"

// Code is the coarse class of an error. The numbers are those of
// apocryph.v0.Code on the wire: append-only, never reordered.
type Code uint32

// The codes. OK is no error.
const (
	OK               Code = 0
	InvalidArgument  Code = 1
	Unauthenticated  Code = 2
	PermissionDenied Code = 3
	// Untrusted is evidence that was appraised and rejected. It is never retried.
	Untrusted         Code = 4
	NotFound          Code = 5
	Conflict          Code = 6
	ResourceExhausted Code = 7
	Unimplemented     Code = 8
	Unavailable       Code = 9
	DeadlineExceeded  Code = 10
	Canceled          Code = 11
	Internal          Code = 12
	// AppFailed is an app that was started and did not come up.
	AppFailed Code = 13
)

var codeTable = [...]struct {
	name string
	exit int
}{
	OK:                {"ok", 0},
	InvalidArgument:   {"invalid_argument", 10},
	Unauthenticated:   {"unauthenticated", 11},
	PermissionDenied:  {"permission_denied", 11},
	Untrusted:         {"untrusted", 12},
	NotFound:          {"not_found", 13},
	Conflict:          {"conflict", 14},
	ResourceExhausted: {"resource_exhausted", 15},
	Unimplemented:     {"unimplemented", 16},
	Unavailable:       {"unavailable", 17},
	DeadlineExceeded:  {"deadline_exceeded", 18},
	Canceled:          {"canceled", 130},
	Internal:          {"internal", 1},
	AppFailed:         {"app_failed", 19},
}

// String returns the code's snake_case name.
func (c Code) String() string {
	if int(c) < len(codeTable) {
		return codeTable[c].name
	}
	return "code_" + strconv.FormatUint(uint64(c), 10)
}

// Known reports whether c is a code of this version.
func (c Code) Known() bool { return int(c) < len(codeTable) }

// Retryable reports whether the same call may succeed later, unchanged.
func (c Code) Retryable() bool {
	return c == ResourceExhausted || c == Unavailable || c == DeadlineExceeded
}

// ExitCode is the process exit code for err: 0 for nil, 1 for an error that
// carries no status.
func ExitCode(err error) int {
	c := CodeOf(err)
	if !c.Known() {
		return codeTable[Internal].exit
	}
	return codeTable[c].exit
}
