package status_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/proto/status"
	"apocryph/proto/statuspb"
)

var ignoreCause = cmpopts.IgnoreUnexported(status.Error{})

// allCodes is the contract: numbers are on the wire and in scripts, so a
// change of any cell breaks someone.
var allCodes = []struct {
	code   status.Code
	number uint32
	name   string
	exit   int
	retry  bool
}{
	{status.OK, 0, "ok", 0, false},
	{status.InvalidArgument, 1, "invalid_argument", 10, false},
	{status.Unauthenticated, 2, "unauthenticated", 11, false},
	{status.PermissionDenied, 3, "permission_denied", 11, false},
	{status.Untrusted, 4, "untrusted", 12, false},
	{status.NotFound, 5, "not_found", 13, false},
	{status.Conflict, 6, "conflict", 14, false},
	{status.ResourceExhausted, 7, "resource_exhausted", 15, true},
	{status.Unimplemented, 8, "unimplemented", 16, false},
	{status.Unavailable, 9, "unavailable", 17, true},
	{status.DeadlineExceeded, 10, "deadline_exceeded", 18, true},
	{status.Canceled, 11, "canceled", 130, false},
	{status.Internal, 12, "internal", 1, false},
	{status.AppFailed, 13, "app_failed", 19, false},
}

func TestCodeTable(t *testing.T) {
	for _, tt := range allCodes {
		if uint32(tt.code) != tt.number || tt.code.String() != tt.name || !tt.code.Known() || tt.code.Retryable() != tt.retry {
			t.Errorf("code %d: number %d, name %s, known %t, retryable %t", tt.number, tt.code, tt.code, tt.code.Known(), tt.code.Retryable())
		}
		if got := status.ExitCode(status.New(tt.code, "x", "y")); got != tt.exit {
			t.Errorf("ExitCode(%s) = %d, want %d", tt.name, got, tt.exit)
		}
		wire := "CODE_" + strings.ToUpper(tt.name)
		if tt.code == status.OK {
			wire = "CODE_UNSPECIFIED"
		}
		if got := statuspb.Code(tt.number).String(); got != wire {
			t.Errorf("number %d is %s on the wire, want %s", tt.number, got, wire)
		}
	}
	if len(allCodes) != len(statuspb.Code_name) {
		t.Errorf("the wire has %d codes, the table %d", len(statuspb.Code_name), len(allCodes))
	}
	if c := status.Code(14); c.Known() || c.String() != "code_14" || c.Retryable() {
		t.Errorf("code 14 is %s, known %t", c, c.Known())
	}
}

func TestClassification(t *testing.T) {
	full := status.New(status.ResourceExhausted, "capacity.memory", "no memory")
	tests := []struct {
		name   string
		err    error
		code   status.Code
		reason string
		exit   int
	}{
		{"nil", nil, status.OK, "", 0},
		{"plain", errors.New("x"), status.Internal, "", 1},
		{"status", full, status.ResourceExhausted, "capacity.memory", 15},
		{"wrapped", fmt.Errorf("asking: %w", full), status.ResourceExhausted, "capacity.memory", 15},
		{"deadline", fmt.Errorf("asking: %w", context.DeadlineExceeded), status.DeadlineExceeded, "", 18},
		{"canceled", fmt.Errorf("asking: %w", context.Canceled), status.Canceled, "", 130},
		{"status over context", status.Wrap(context.Canceled, status.Unavailable, "a.b", "gone"), status.Unavailable, "a.b", 17},
		{"unknown code", status.New(99, "a.b", "c"), 99, "a.b", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c := status.CodeOf(tt.err); c != tt.code {
				t.Errorf("CodeOf = %s, want %s", c, tt.code)
			}
			if r := status.ReasonOf(tt.err); r != tt.reason {
				t.Errorf("ReasonOf = %q, want %q", r, tt.reason)
			}
			if e := status.ExitCode(tt.err); e != tt.exit {
				t.Errorf("ExitCode = %d, want %d", e, tt.exit)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	e := status.Wrap(io.ErrUnexpectedEOF, status.NotFound, "image.missing", "image %q is missing", "a")
	if got, want := e.Error(), `image "a" is missing: unexpected EOF`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Error("the cause is not found")
	}
	for _, target := range []struct {
		err  error
		want bool
	}{
		{&status.Error{Code: status.NotFound}, true},
		{&status.Error{Code: status.NotFound, Reason: "image.missing"}, true},
		{&status.Error{Code: status.NotFound, Reason: "image.other"}, false},
		{&status.Error{Code: status.Conflict, Reason: "image.missing"}, false},
		{io.EOF, false},
	} {
		if got := errors.Is(e, target.err); got != target.want {
			t.Errorf("errors.Is(%#v) = %t, want %t", target.err, got, target.want)
		}
	}
	with := e.WithHint("try %d", 1).WithRetryAfter(time.Second)
	if with.Hint != "try 1" || with.RetryAfter != time.Second || e.Hint != "" || e.RetryAfter != 0 {
		t.Errorf("got %+v from %+v, want a changed copy", with, e)
	}
	if !errors.Is(with, io.ErrUnexpectedEOF) {
		t.Error("the copy lost its cause")
	}
}

func TestInvalid(t *testing.T) {
	one := status.Fault{Field: "ports[0].port", Got: "0", Want: "1 to 65535", Line: 7}
	if got, want := status.Invalid("manifest.invalid", "manifest", []status.Fault{one}).Error(),
		"manifest: line 7: ports[0].port: got 0, want 1 to 65535"; got != want {
		t.Errorf("one fault: %q, want %q", got, want)
	}
	two := status.Invalid("manifest.invalid", "manifest", []status.Fault{one, {Field: "name"}})
	if two.Error() != "manifest has 2 faults" || len(two.Faults) != 2 || two.Code != status.InvalidArgument {
		t.Errorf("two faults: %+v", two)
	}
	if got := two.Faults[1].String(); got != "name" {
		t.Errorf("bare fault: %q", got)
	}
}

func TestPublicWithholds(t *testing.T) {
	secret := errors.New("secret /path")
	tests := []struct {
		name string
		err  error
		want *status.Error
	}{
		{"cause", status.Wrap(secret, status.NotFound, "a.b", "gone"), status.New(status.NotFound, "a.b", "gone")},
		{"internal", status.Wrap(secret, status.Internal, "a.b", "secret"), status.New(status.Internal, "internal", "internal error")},
		{"plain", secret, status.New(status.Internal, "internal", "internal error")},
		{"deadline", context.DeadlineExceeded, status.New(status.DeadlineExceeded, "deadline", "the time for this call is over")},
		{"canceled", context.Canceled, status.New(status.Canceled, "canceled", "the call was canceled")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := status.Public(tt.err)
			if d := cmp.Diff(tt.want, got, ignoreCause); d != "" {
				t.Error(d)
			}
			if strings.Contains(got.Error(), "secret") || errors.Is(got, secret) {
				t.Errorf("%q tells the cause", got)
			}
		})
	}
}

func TestFromPeerReclasses(t *testing.T) {
	for code, want := range map[status.Code]status.Code{
		status.OK: status.Unavailable, status.Internal: status.Unavailable, status.Canceled: status.Unavailable, 14: status.Unavailable,
		status.Untrusted: status.Untrusted, status.NotFound: status.NotFound, status.AppFailed: status.AppFailed,
	} {
		if got := status.FromPeer(status.New(code, "a.b", "c")).Code; got != want {
			t.Errorf("%s became %s, want %s", code, got, want)
		}
	}
	e := status.Wrap(io.EOF, status.Conflict, "a\x1b[31m", "line\nbreak \xff %s", strings.Repeat("é", 1000))
	e.RetryAfter = 48 * time.Hour
	e.Faults = make([]status.Fault, 100)
	e.Faults[0] = status.Fault{Field: "f\x00", Line: -1}
	e.Log = make([]string, 1000)
	e.Log[0] = "\x1b[2Jx"
	got := status.FromPeer(e)
	if len(got.Log) == 0 || len(got.Log) > 100 || got.Log[0] != " [2Jx" {
		t.Errorf("%d lines of log, %q", len(got.Log), got.Log[:1])
	}
	if got.Reason != "a [31m" || strings.Contains(got.Detail, "\n") || strings.Contains(got.Detail, "\xff") || len(got.Detail) > 512 || !utf8.ValidString(got.Detail) {
		t.Errorf("texts: %q, %q", got.Reason, got.Detail)
	}
	if got.RetryAfter != 24*time.Hour || len(got.Faults) != 64 || got.Faults[0].Line != 0 || got.Faults[0].Field != "f " {
		t.Errorf("got %v, %d faults, %+v", got.RetryAfter, len(got.Faults), got.Faults[0])
	}
	if errors.Is(got, io.EOF) {
		t.Error("a peer's error has a cause of ours")
	}
	if empty := status.FromPeer(&status.Error{RetryAfter: -1}); empty.Detail == "" || empty.RetryAfter != 0 {
		t.Errorf("got %+v", empty)
	}
}
