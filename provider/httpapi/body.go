package httpapi

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// media is the request's media type, without its parameters.
func (c *call) media() string {
	m, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return m
}

// wrongMedia is 415 with what is read here.
func wrongMedia(got, want string) error {
	if got == "" {
		got = "none"
	}
	return status.Invalid("api.media_type", "the body's media type", []status.Fault{{Field: "Content-Type", Got: brief(got), Want: want}})
}

// body reads a JSON body whole, at most maxJSON of it. An empty one is nil where
// it is optional.
func (c *call) body(optional bool, most int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil:
		return nil, interrupted(err)
	case len(b) == 0 && optional:
		return nil, c.settle(sha256.Sum256(nil))
	}
	if m := c.media(); m != "application/json" {
		return nil, wrongMedia(m, "application/json")
	}
	if err := c.intact(b); err != nil {
		return nil, err
	}
	return b, c.settle(sha256.Sum256(b))
}

// decode reads a JSON body into a value.
func (c *call) decode(into any) error {
	b, err := c.body(false, maxJSON)
	if err != nil {
		return err
	}
	return decodeJSON(b, into)
}

// interrupted is a body that did not come whole.
func interrupted(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return tooSlow()
	}
	return status.Wrap(err, status.InvalidArgument, "upload.interrupted", "the body ended before it was whole")
}

func tooSlow() error {
	return status.New(status.DeadlineExceeded, "upload.too_slow", "the body comes too slowly").
		WithHint("resume it: POST /api/v1/uploads takes a body in parts")
}

// inflow is the body of an upload. It gives every read its time, ends an upload
// that is slow over its whole time, and keeps the first error, which readers on
// top of it wrap or hide.
type inflow struct {
	body  io.Reader
	rc    *http.ResponseController
	rate  int64
	stall time.Duration
	start time.Time
	dead  time.Time
	bytes int64
	err   error
}

// upload makes the request's body an upload of at most most bytes, 0 for no
// bound here. The caller calls leave when it has read what it wanted.
func (c *call) upload(most int64) (in *inflow, leave func(), err error) {
	if most > 0 && c.r.ContentLength > most {
		return nil, nil, &http.MaxBytesError{Limit: most}
	}
	err = c.mayUpload()
	if err == nil {
		leave, err = c.api.uploads.enter(c.caller.Subject)
	}
	if err != nil {
		c.hangUp()
		return nil, nil, err
	}
	var body io.Reader = c.r.Body
	if most > 0 {
		body = http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, most)
	}
	l := c.api.limits
	return &inflow{body: body, rc: http.NewResponseController(c.w.ResponseWriter), rate: l.MinRate, stall: l.Stall, start: time.Now()}, leave, nil
}

// mayUpload refuses who may deploy nowhere, before anything is received: a form says
// what it is for wherever it likes.
func (c *call) mayUpload() error {
	if c.op.access == everybody || c.caller.Operator || slices.ContainsFunc(c.caller.Scopes, func(s auth.Scope) bool { return s.Action == auth.ActionDeploy }) {
		return nil
	}
	return c.caller.May(cmp.Or(c.home(), everywhere), auth.ActionDeploy)
}

// hangUp ends the connection after the answer. To keep it, net/http would first
// read what is left of a short body, and tell a slow caller only then.
func (c *call) hangUp() {
	if c.r.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close")
	}
	// Not every connection has deadlines, a test's recorder for one.
	_ = http.NewResponseController(c.w.ResponseWriter).SetReadDeadline(time.Now().Add(lingerTimeout))
}

func (f *inflow) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	now := time.Now()
	if took := now.Sub(f.start); took > f.stall && f.bytes < int64(took.Seconds())*f.rate {
		f.err = tooSlow()
		// net/http reads on before it answers, as hangUp says.
		_ = f.rc.SetReadDeadline(now.Add(lingerTimeout))
		return 0, f.err
	}
	if f.dead.Sub(now) < f.stall/2 {
		f.dead = now.Add(f.stall)
		_ = f.rc.SetReadDeadline(f.dead)
		_ = f.rc.SetWriteDeadline(f.dead.Add(writeTimeout))
	}
	n, err := f.body.Read(p)
	f.bytes += int64(n)
	if err != nil {
		f.err = err
		var tooLarge *http.MaxBytesError
		if !errors.Is(err, io.EOF) && !errors.As(err, &tooLarge) {
			f.err = interrupted(err)
		}
	}
	return n, f.err
}

// blame is the error to tell: the body's own where it broke, else err.
func (f *inflow) blame(err error) error {
	if err != nil && f.err != nil && !errors.Is(f.err, io.EOF) {
		return f.err
	}
	return err
}
