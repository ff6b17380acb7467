package verify

import (
	"encoding/hex"
	"errors"

	"apocryph/attest"
	"apocryph/proto/status"
)

// steps records what was checked. Its methods return errors so that a failed
// step cannot be recorded without ending the appraisal.
type steps struct {
	anchor attest.Anchor
	checks []attest.Check
}

func (s *steps) pass(c code, got string) {
	s.checks = append(s.checks, attest.Check{Code: c.id, Name: c.name, OK: true, Anchor: s.anchor, Got: got})
}

// fail records a failed step. The cause, which may be a library's text about a
// stranger's bytes, stays private.
func (s *steps) fail(c code, got, want string, cause error) *status.Error {
	s.checks = append(s.checks, attest.Check{Code: c.id, Name: c.name, Anchor: s.anchor, Got: got, Want: want})
	e := status.New(status.Untrusted, "attest."+c.slug, "%s %s: got %s, want %s", c.id, c.name, got, want)
	if cause != nil {
		e = status.Wrap(cause, e.Code, e.Reason, "%s", e.Detail)
	}
	return e
}

// malformed records evidence of the wrong shape, with every fault in the cause.
func (s *steps) malformed(err error) *status.Error {
	c := codeParse
	if status.ReasonOf(err) == "attest.too_large" {
		c = codeTooLarge
	}
	got := "malformed"
	var e *status.Error
	if errors.As(err, &e) {
		got = e.Detail
	}
	return s.fail(c, got, "well-formed input within the caps", err)
}

// equal is a step that compares two values; same has already done so, in
// constant time where that matters.
func (s *steps) equal(c code, same bool, got, want []byte) error {
	if !same {
		return s.fail(c, short(got), short(want), nil)
	}
	s.pass(c, short(got))
	return nil
}

// short is hex, cut to what fits on a line.
func short(b []byte) string {
	const most = 32
	switch {
	case len(b) == 0:
		return "nothing"
	case len(b) > most:
		return hex.EncodeToString(b[:most]) + "..."
	}
	return hex.EncodeToString(b)
}
