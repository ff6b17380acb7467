package problem

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"apocryph/proto/status"
)

const (
	// ContentType is the media type of a problem document.
	ContentType = "application/problem+json"
	// TypePrefix is followed by the reason in a problem's type.
	TypePrefix = "urn:apocryph:problem:"
	// RequestIDHeader names the request that a problem is about.
	RequestIDHeader = "X-Request-Id"

	// blankType is the type of a problem without a reason (RFC 9457, 4.2.1).
	blankType = "about:blank"

	statusClientClosedRequest = 499
)

// codes has one HTTP status for each code. 403 is for both permission_denied
// and untrusted, 499 is what servers log where nobody listens any more.
var codes = map[status.Code]struct {
	http  int
	title string
}{
	status.InvalidArgument:   {http.StatusBadRequest, "Invalid argument"},
	status.Unauthenticated:   {http.StatusUnauthorized, "Unauthenticated"},
	status.PermissionDenied:  {http.StatusForbidden, "Permission denied"},
	status.Untrusted:         {http.StatusForbidden, "Untrusted"},
	status.NotFound:          {http.StatusNotFound, "Not found"},
	status.Conflict:          {http.StatusConflict, "Conflict"},
	status.ResourceExhausted: {http.StatusTooManyRequests, "Resource exhausted"},
	status.Unimplemented:     {http.StatusNotImplemented, "Unimplemented"},
	status.Unavailable:       {http.StatusServiceUnavailable, "Unavailable"},
	status.DeadlineExceeded:  {http.StatusGatewayTimeout, "Deadline exceeded"},
	status.Canceled:          {statusClientClosedRequest, "Canceled"},
	status.Internal:          {http.StatusInternalServerError, "Internal error"},
	status.AppFailed:         {http.StatusUnprocessableEntity, "App failed"},
}

// HTTPStatus is the HTTP status for err: 500 for one without a class and for nil.
func HTTPStatus(err error) int {
	_, code := classify(err)
	return code
}

// classify is what may be told about err, and its HTTP status.
func classify(err error) (*status.Error, int) {
	var tooLarge *http.MaxBytesError
	switch e := status.Public(err); {
	case errors.As(err, &tooLarge):
		if e.Code != status.InvalidArgument {
			e = status.New(status.InvalidArgument, "http.too_large", "the body is larger than %d bytes", tooLarge.Limit)
		}
		return e, http.StatusRequestEntityTooLarge
	case errors.Is(err, http.ErrNotMultipart), errors.Is(err, http.ErrMissingBoundary), errors.Is(err, mime.ErrInvalidMediaParameter):
		if e.Code != status.InvalidArgument {
			e = status.New(status.InvalidArgument, "http.media_type", "the body has the wrong media type")
		}
		return e, http.StatusUnsupportedMediaType
	default:
		row, ok := codes[e.Code]
		if !ok {
			// OK or a code of a later version: an error all the same.
			e = status.New(status.Internal, "internal", "internal error")
			row = codes[status.Internal]
		}
		return e, row.http
	}
}

// elsewhere are the classes that a server may answer with another status than
// that of codes: an app is behind it, and what it lacks may come back.
var elsewhere = map[int]status.Code{
	http.StatusBadGateway:         status.AppFailed,
	http.StatusServiceUnavailable: status.ResourceExhausted,
}

// codeOf is the class of an answer that does not name one.
func codeOf(httpStatus int) status.Code {
	switch httpStatus {
	case http.StatusUnauthorized:
		return status.Unauthenticated
	case http.StatusForbidden:
		return status.PermissionDenied
	case http.StatusMisdirectedRequest:
		// Of this project's servers: something else runs than what was verified.
		return status.Untrusted
	case http.StatusNotFound, http.StatusGone:
		return status.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return status.Conflict
	case http.StatusTooManyRequests, http.StatusInsufficientStorage:
		return status.ResourceExhausted
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return status.Unimplemented
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return status.DeadlineExceeded
	}
	if httpStatus >= 400 && httpStatus < 500 && httpStatus != statusClientClosedRequest {
		return status.InvalidArgument
	}
	return status.Unavailable
}

// codeNamed is the code of a name in a document, if it fits the HTTP status.
// Where the two differ, the status decides: proxies see only that one.
func codeNamed(name string, httpStatus int) status.Code {
	for code, row := range codes {
		if code.String() != name {
			continue
		}
		if row.http == httpStatus || elsewhere[httpStatus] == code || code == status.InvalidArgument && codeOf(httpStatus) == code {
			return code
		}
	}
	return codeOf(httpStatus)
}

// typeOf is the name of a reason's problem type.
func typeOf(reason string) string {
	if !isToken(reason) {
		return blankType
	}
	return TypePrefix + reason
}

// reasonOf is the inverse of typeOf; a foreign type has no reason.
func reasonOf(typ string) string {
	reason, ours := strings.CutPrefix(typ, TypePrefix)
	if !ours || !isToken(reason) {
		return ""
	}
	return reason
}

// isToken reports whether s can be part of a URI as it is: the unreserved
// characters of RFC 3986, 2.3, and few of them, since a client may have sent it.
func isToken(s string) bool {
	const longest = 128
	if s == "" || len(s) > longest {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") == ""
}
