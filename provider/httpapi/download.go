package httpapi

import (
	"encoding/hex"
	"mime"
	"net/http"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/auth"
)

// download gives an artifact's content, with ranges and conditions (RFC 9110, 13
// and 14).
func (c *call) download() error {
	a, err := c.theArtifact(auth.ActionRead)
	if err != nil {
		return err
	}
	content, err := c.api.cfg.Artifacts.Open(c.ctx(), a.Namespace, a.ID)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	sum, err := hex.DecodeString(a.SHA256)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("ETag", `"`+a.SHA256+`"`)
	h.Set("Repr-Digest", digestField(sum))
	h.Set("Content-Type", a.ContentType)
	// A page of this origin must never come out of an upload.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", disposition(a.Name))
	h.Set("Cache-Control", "private, no-cache")
	c.patient()
	ranged := &rangeWriter{writer: c.w}
	http.ServeContent(ranged, c.r, "", a.Completed, content)
	if ranged.refused {
		return &answerError{
			err:  status.Invalid("artifact.range", "the range", []status.Fault{{Field: "Range", Got: brief(c.r.Header.Get("Range")), Want: "within the content"}}),
			code: ranged.code,
		}
	}
	return nil
}

// disposition names the file for who saves it; a name that cannot be written in
// a header is left out.
func disposition(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// rangeWriter holds back the errors of http.ServeContent, which are plain text.
type rangeWriter struct {
	*writer
	refused bool
	code    int
}

func (w *rangeWriter) WriteHeader(code int) {
	if code >= 400 {
		w.refused, w.code = true, code
		return
	}
	w.writer.WriteHeader(code)
}

func (w *rangeWriter) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.writer.Write(b)
}
