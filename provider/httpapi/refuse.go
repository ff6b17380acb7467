package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

// answerError is an error that HTTP has a status of its own for, or that has
// further members.
type answerError struct {
	err  error
	code int
	more map[string]any
}

func (e *answerError) Error() string { return e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// refuse renders an error, once, as a problem document.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelDebug
	if statusOf(err) == http.StatusInternalServerError {
		// This provider's own fault, and no caller is told what it is.
		level = slog.LevelError
	}
	a.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "err", err, "request_id", w.Header().Get(problem.RequestIDHeader))
	if ww, ok := w.(*writer); ok && ww.code != 0 {
		// The answer has begun; all that is left is not to end it as if it were whole.
		panic(http.ErrAbortHandler)
	}
	linger(w, r)
	challenge(w.Header(), err)
	code := statusOf(err)
	more := map[string]any{"request_id": w.Header().Get(problem.RequestIDHeader)}
	var own *answerError
	if errors.As(err, &own) {
		for k, v := range own.more {
			more[k] = v
		}
	}
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		var e *status.Error
		if errors.As(err, &e) && e.RetryAfter == 0 {
			c := *e
			c.RetryAfter = 10 * time.Second
			err = &c
		}
	}
	problem.WriteExtended(w, r, err, code, more)
}

// statusOf is the HTTP status for an error: that of its class, but where HTTP
// says it better. What is fixed by another upload is the caller's, an app that
// does not come up is behind this server (502), the rest is the provider's.
func statusOf(err error) int {
	var own *answerError
	if errors.As(err, &own) && own.code != 0 {
		return own.code
	}
	code := problem.HTTPStatus(err)
	if code == http.StatusRequestEntityTooLarge || code == http.StatusUnsupportedMediaType {
		return code
	}
	return statusFor(status.CodeOf(err), status.ReasonOf(err))
}

func statusFor(class status.Code, reason string) int {
	switch {
	case reason == "files.too_large", reason == "artifact.too_large", reason == "http.too_large":
		return http.StatusRequestEntityTooLarge
	case strings.HasSuffix(reason, ".disk_full"), reason == "artifact.store_full":
		return http.StatusInsufficientStorage
	case reason == "api.media_type", reason == "upload.media_type":
		return http.StatusUnsupportedMediaType
	case reason == "api.precondition", reason == "app.version", reason == "sync.version":
		return http.StatusPreconditionFailed
	case reason == "api.key_reused":
		return http.StatusUnprocessableEntity
	case reason == "upload.too_slow":
		return http.StatusRequestTimeout
	case class == status.AppFailed:
		return http.StatusBadGateway
	case class == status.ResourceExhausted && strings.HasPrefix(reason, "capacity."):
		return http.StatusServiceUnavailable
	}
	return problem.HTTPStatus(status.New(class, reason, ""))
}

// linger keeps the connection open for a moment where a body is left unread:
// closed at once, it would be reset under a caller who still sends, and who would
// then see no answer. A caller who waits to be told to send (Expect) does not need
// it. net/http does so for a body over a limit alone, so that is what it is told.
func linger(w http.ResponseWriter, r *http.Request) {
	ww, ok := w.(*writer)
	if !ok || r.Body == nil || r.Header.Get("Expect") != "" || r.ContentLength >= 0 && r.ContentLength < maxDiscard {
		return
	}
	_, _ = http.MaxBytesReader(ww.ResponseWriter, r.Body, 0).Read(make([]byte, 1)) // its error is what is wanted
}

// maxDiscard is what net/http reads of a body that a handler left.
const maxDiscard = 256 << 10
