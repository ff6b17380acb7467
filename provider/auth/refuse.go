package auth

import (
	"errors"
	"time"

	"apocryph/proto/status"
)

const realm = "apocryph"

// reasonMissing is the one refusal of a caller who showed nothing at all.
const reasonMissing = "auth.missing"

// refuse is a credential that is missing or wrong. The format never gets any
// part of what was sent before its signature is verified.
func refuse(reason, format string, args ...any) *status.Error {
	return status.New(status.Unauthenticated, "auth."+reason, format, args...)
}

// unknowable is a check that could not be made: nobody is let in, and nobody is
// told that the token is wrong.
func unknowable(cause error, retry time.Duration, format string, args ...any) *status.Error {
	return status.Wrap(cause, status.Unavailable, "auth.unavailable", format, args...).WithRetryAfter(retry)
}

// Challenge is the value of WWW-Authenticate for an error of this package (RFC
// 6750, 3): with error="invalid_token" for a credential that was refused,
// error="insufficient_scope" for a caller without the right, no error where no
// credential came, and "" for errors that ask for no credential.
func Challenge(err error) string {
	const bearer = `Bearer realm="` + realm + `"`
	var e *status.Error
	if !errors.As(err, &e) {
		return ""
	}
	switch {
	case e.Code == status.Unauthenticated && (e.Reason == reasonMissing || e.Reason == "auth.unconfigured"):
		return bearer
	case e.Code == status.Unauthenticated:
		return bearer + `, error="invalid_token"`
	case e.Code == status.PermissionDenied && e.Reason == "auth.scope":
		c := bearer + `, error="insufficient_scope"`
		if len(e.Faults) == 1 {
			// Only what parses is repeated: a namespace may come from a URL.
			if s, err := ParseScope(e.Faults[0].Want); err == nil {
				c += `, scope="` + s.String() + `"`
			}
		}
		return c
	}
	return ""
}
