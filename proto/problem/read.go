package problem

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"apocryph/proto/status"
)

// maxDocument bounds the body that is read, in bytes: an answer of a stranger
// must not fill memory.
const maxDocument = 64 << 10

// maxRetryAfter bounds how long a stranger may ask to be waited for.
const maxRetryAfter = 24 * time.Hour

// Read is the error in an answer, nil where its status is below 400. The body
// is read, at most 64 KiB of it, and left for the caller to close. The error is
// a [status.Error] that [status.FromPeer] has re-classed: an internal error
// over there is unavailable here. An answer that is no problem document gets
// its class from the HTTP status.
func Read(resp *http.Response) error {
	if resp == nil {
		return status.New(status.Unavailable, "http.no_answer", "the server gave no answer")
	}
	if resp.StatusCode < 400 && resp.StatusCode >= 100 {
		return nil
	}
	e := status.New(codeOf(resp.StatusCode), "http.status", "the server answered %d %s",
		resp.StatusCode, http.StatusText(resp.StatusCode))
	if doc, ok := readDocument(resp); ok {
		e.Code = codeNamed(doc.Code, resp.StatusCode)
		e.Reason, e.Hint, e.Faults = reasonOf(doc.Type), doc.Hint, faultsOf(doc.Errors)
		switch {
		case doc.Detail != "":
			e.Detail = doc.Detail
		case doc.Title != "":
			e.Detail = doc.Title
		}
		e.RetryAfter, e.Log = delay(doc.RetryAfter), doc.Log
	}
	if d, ok := retryAfter(resp.Header); ok {
		e.RetryAfter = d
	}
	return status.FromPeer(e)
}

func readDocument(resp *http.Response) (document, bool) {
	var doc document
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	// A broken parameter does not change the type.
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || media != ContentType || resp.Body == nil {
		return doc, false
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil || len(body) > maxDocument {
		return doc, false
	}
	if json.Unmarshal(body, &doc) != nil {
		return document{}, false
	}
	return doc, true
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is
// counted from the server's own.
func retryAfter(h http.Header) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return delay(n), true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	return max(0, min(at.Sub(now), maxRetryAfter)), true
}

func delay(seconds int64) time.Duration {
	return time.Duration(max(0, min(seconds, int64(maxRetryAfter/time.Second)))) * time.Second
}
