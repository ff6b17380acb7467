package problem

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"apocryph/proto/status"
)

// document is the JSON of a problem (RFC 9457, 3.1 and 3.2).
type document struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`

	// Code is the class, as [status.Code.String] writes it.
	Code string `json:"code"`
	// Hint says what the caller can do about it.
	Hint string `json:"hint,omitempty"`
	// RetryAfter is in seconds, rounded up.
	RetryAfter int64 `json:"retry_after_s,omitempty"`
	// Errors are the faults of the input.
	Errors []fault `json:"errors,omitempty"`
	// Log is the last lines of an app that failed.
	Log []string `json:"log,omitempty"`
}

type fault struct {
	Field string `json:"field"`
	Got   string `json:"got,omitempty"`
	Want  string `json:"want,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// Write answers r with what may be told about err, which must not be nil; an
// error without a class is answered 500 and nothing is told. It removes headers
// that belonged to the answer that is not given. The instance is the request
// id that w, or else r, carries in [RequestIDHeader]; r may be nil.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	_, code := classify(err)
	WriteStatus(w, r, err, code)
}

// WriteStatus is [Write] with another HTTP status than that of the error's
// class, for conditions that HTTP itself has a name for, such as 405 and 421.
func WriteStatus(w http.ResponseWriter, r *http.Request, err error, code int) {
	WriteExtended(w, r, err, code, nil)
}

// WriteExtended is [WriteStatus] with further members (RFC 9457, 3.2), which must
// be fit for JSON and for strangers. One with the name of a member of every
// problem is left out.
func WriteExtended(w http.ResponseWriter, r *http.Request, err error, code int, more map[string]any) {
	e, _ := classify(err)
	doc := document{
		Type:       typeOf(e.Reason),
		Title:      codes[e.Code].title,
		Status:     code,
		Detail:     e.Detail,
		Instance:   instance(w, r),
		Code:       e.Code.String(),
		Hint:       e.Hint,
		RetryAfter: seconds(e.RetryAfter),
		Log:        e.Log,
	}
	for _, f := range e.Faults {
		doc.Errors = append(doc.Errors, fault{Field: f.Field, Got: f.Got, Want: f.Want, Line: f.Line})
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Content-Disposition"} {
		h.Del(name)
	}
	h.Set("Content-Type", ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if doc.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(doc.RetryAfter, 10))
	}
	w.WriteHeader(code)
	// The client may be gone; there is nobody to tell.
	_, _ = w.Write(encode(doc, more))
}

// encode is the document on one line, the further members last and by name.
func encode(doc document, more map[string]any) []byte {
	own, err := marshal(doc)
	if err != nil {
		return nil
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(own, &fields); err != nil {
		return nil
	}
	rest := map[string]any{}
	for name, v := range more {
		if _, taken := fields[name]; !taken {
			rest[name] = v
		}
	}
	if len(rest) == 0 {
		return append(own, '\n')
	}
	extra, err := marshal(rest)
	if err != nil {
		return append(own, '\n')
	}
	own[len(own)-1] = ','
	return append(append(own, extra[1:]...), '\n')
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func instance(w http.ResponseWriter, r *http.Request) string {
	id := w.Header().Get(RequestIDHeader)
	if id == "" && r != nil {
		id = r.Header.Get(RequestIDHeader)
	}
	if !isToken(id) {
		return ""
	}
	return id
}

// seconds rounds up: asking again too early only costs both sides.
func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	whole := int64(d / time.Second)
	if d%time.Second > 0 {
		whole++
	}
	return whole
}

func faultsOf(list []fault) []status.Fault {
	var faults []status.Fault
	for _, f := range list {
		faults = append(faults, status.Fault{Field: f.Field, Got: f.Got, Want: f.Want, Line: f.Line})
	}
	return faults
}
