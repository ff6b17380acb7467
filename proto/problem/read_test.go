package problem_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
)

func TestReadReclasses(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		code   status.Code
		reason string
	}{
		"internal":   {errors.New("x"), status.Unavailable, "internal"},
		"canceled":   {context.Canceled, status.Unavailable, "canceled"},
		"too large":  {&http.MaxBytesError{Limit: 1}, status.InvalidArgument, "http.too_large"},
		"media type": {http.ErrNotMultipart, status.InvalidArgument, "http.media_type"},
		"bad reason": {status.New(status.NotFound, "a b/c", "d"), status.NotFound, ""},
	} {
		err := problem.Read(write(nil, tt.err))
		if status.CodeOf(err) != tt.code || status.ReasonOf(err) != tt.reason {
			t.Errorf("%s: got %s %q", name, status.CodeOf(err), status.ReasonOf(err))
		}
	}
}

// answer is what a server sent, head and body.
func answer(code int, contentType, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {contentType}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestReadStrangers(t *testing.T) {
	const js = problem.ContentType
	tests := []struct {
		name   string
		resp   *http.Response
		code   status.Code
		reason string
		detail string
	}{
		{"no answer", nil, status.Unavailable, "http.no_answer", "the server gave no answer"},
		{"bad gateway", answer(502, "text/html", "<h1>x"), status.Unavailable, "http.status", "the server answered 502 Bad Gateway"},
		{"no status", answer(0, "", ""), status.Unavailable, "http.status", "the server answered 0 "},
		{"unauthorized", answer(401, "", ""), status.Unauthenticated, "http.status", "the server answered 401 Unauthorized"},
		{"forbidden", answer(403, "", ""), status.PermissionDenied, "http.status", "the server answered 403 Forbidden"},
		{"missing", answer(404, "text/plain", "404"), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"method", answer(405, "", ""), status.Unimplemented, "http.status", "the server answered 405 Method Not Allowed"},
		{"timeout", answer(408, "", ""), status.DeadlineExceeded, "http.status", "the server answered 408 Request Timeout"},
		{"conflict", answer(409, "", ""), status.Conflict, "http.status", "the server answered 409 Conflict"},
		{"too large", answer(413, "", ""), status.InvalidArgument, "http.status", "the server answered 413 Request Entity Too Large"},
		{"teapot", answer(418, "", ""), status.InvalidArgument, "http.status", "the server answered 418 I'm a teapot"},
		{"too many", answer(429, "", ""), status.ResourceExhausted, "http.status", "the server answered 429 Too Many Requests"},
		{"499", answer(499, "", ""), status.Unavailable, "http.status", "the server answered 499 "},
		{"501", answer(501, "", ""), status.Unimplemented, "http.status", "the server answered 501 Not Implemented"},
		{"507", answer(507, "", ""), status.ResourceExhausted, "http.status", "the server answered 507 Insufficient Storage"},
		{"no JSON", answer(404, js, "<"), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"an array", answer(404, js, "[]"), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"a wrong member", answer(404, js, `{"detail": 1, "type": "urn:apocryph:problem:x"}`), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"an empty object", answer(404, js, "{}"), status.NotFound, "", "the server answered 404 Not Found"},
		{"JSON of another type", answer(404, "application/json", `{"detail":"x"}`), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"a bad media type", answer(404, "application/problem+json; =", `{"detail":"x"}`), status.NotFound, "", "x"},
		{"a character set", answer(404, js+"; charset=utf-8", `{"detail":"x"}`), status.NotFound, "", "x"},
		{"a title alone", answer(404, js, `{"title":"Nothing here"}`), status.NotFound, "", "Nothing here"},
		{"a foreign type", answer(404, js, `{"type":"https://example.org/x","detail":"x"}`), status.NotFound, "", "x"},
		{"a bad reason", answer(404, js, `{"type":"urn:apocryph:problem:a b","detail":"x"}`), status.NotFound, "", "x"},
		{"a code that does not fit", answer(404, js, `{"code":"untrusted","detail":"x"}`), status.NotFound, "", "x"},
		{"success in the document", answer(500, js, `{"code":"ok","detail":"x"}`), status.Unavailable, "", "x"},
		{"an unknown code", answer(403, js, `{"code":"later","detail":"x"}`), status.PermissionDenied, "", "x"},
		{"a code that fits", answer(403, js, `{"code":"untrusted","detail":"x"}`), status.Untrusted, "", "x"},
		{"control characters", answer(403, js, `{"detail":"x\u001b[31m\n"}`), status.PermissionDenied, "", "x [31m "},
		{"endless", answer(404, js, `{"detail":"`+strings.Repeat("x", 70<<10)+`"}`), status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"long", answer(404, js, `{"detail":"`+strings.Repeat("x", 10<<10)+`"}`), status.NotFound, "", strings.Repeat("x", 512)},
		{"a broken body", &http.Response{StatusCode: 404, Header: http.Header{"Content-Type": {js}}, Body: io.NopCloser(brokenReader{})}, status.NotFound, "http.status", "the server answered 404 Not Found"},
		{"no body", &http.Response{StatusCode: 404, Header: http.Header{"Content-Type": {js}}}, status.NotFound, "http.status", "the server answered 404 Not Found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := problem.Read(tt.resp)
			if status.CodeOf(err) != tt.code || status.ReasonOf(err) != tt.reason || err.Error() != tt.detail {
				t.Errorf("got %s %q %q", status.CodeOf(err), status.ReasonOf(err), err)
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestReadSuccess(t *testing.T) {
	for _, code := range []int{101, 200, 204, 304} {
		if err := problem.Read(answer(code, problem.ContentType, `{"code":"internal"}`)); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Wed, 21 Oct 2026 07:28:00 GMT"
	for name, tt := range map[string]struct {
		header []string
		body   string
		want   time.Duration
	}{
		"none":                 {nil, "{}", 0},
		"seconds":              {[]string{"Retry-After", "7"}, "{}", 7 * time.Second},
		"negative":             {[]string{"Retry-After", "-7"}, "{}", 0},
		"for ever":             {[]string{"Retry-After", "9223372036854775807"}, "{}", 24 * time.Hour},
		"nonsense":             {[]string{"Retry-After", "soon"}, "{}", 0},
		"date":                 {[]string{"Retry-After", "Wed, 21 Oct 2026 07:28:09 GMT", "Date", date}, "{}", 9 * time.Second},
		"past date":            {[]string{"Retry-After", "Wed, 21 Oct 2020 07:28:09 GMT", "Date", date}, "{}", 0},
		"date without a clock": {[]string{"Retry-After", date}, "{}", 0},
		"body":                 {nil, `{"retry_after_s":3}`, 3 * time.Second},
		"negative in the body": {nil, `{"retry_after_s":-3}`, 0},
		"header over body":     {[]string{"Retry-After", "7"}, `{"retry_after_s":3}`, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var e *status.Error
			if !errors.As(problem.Read(answer(503, problem.ContentType, tt.body, tt.header...)), &e) || e.RetryAfter != tt.want {
				t.Errorf("got %v, want %v", e.RetryAfter, tt.want)
			}
		})
	}
	for d, want := range map[time.Duration]string{0: "", -1: "", 1: "1", time.Second: "1", time.Second + 1: "2"} {
		if got := write(nil, status.New(status.Unavailable, "a", "b").WithRetryAfter(d)).Header.Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After %q, want %q", d, got, want)
		}
	}
}

func FuzzProblem(f *testing.F) {
	for _, err := range []error{sample(), io.EOF, status.New(status.Untrusted, "a.b", "c").WithRetryAfter(time.Hour)} {
		resp := write(nil, err)
		body, _ := io.ReadAll(resp.Body)
		f.Add(resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Retry-After"), body)
	}
	f.Add(404, problem.ContentType, "Wed, 21 Oct 2026 07:28:00 GMT", []byte(`{"errors":[{},null],"retry_after_s":1e9}`))
	f.Add(-1, "application/problem+json;;", "x", []byte(`{"code":"ok"}`))
	f.Fuzz(func(t *testing.T, code int, contentType, retry string, body []byte) {
		err := problem.Read(answer(code, contentType, string(body), "Retry-After", retry))
		if code >= 100 && code < 400 {
			if err != nil {
				t.Errorf("%d is an error: %v", code, err)
			}
			return
		}
		var e *status.Error
		if !errors.As(err, &e) || status.ExitCode(err) == 0 || e.Detail == "" || e.RetryAfter < 0 || e.RetryAfter > 24*time.Hour {
			t.Fatalf("got %#v", err)
		}
		// What was read can be passed on and read again.
		if again := problem.Read(write(nil, err)); status.CodeOf(again) != e.Code || again.Error() != err.Error() {
			t.Errorf("%#v became %#v", err, again)
		}
	})
}
