package httpapi

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/artifacts"
	"apocryph/provider/auth"
)

// Resumable uploads by tus 1.0.0 with the extensions creation,
// creation-defer-length and termination. An upload is an artifact, and has its
// id; its metadata are "filename" or "name", "filetype" or "content_type", and
// "namespace".
const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-defer-length,termination"
	tusMedia      = "application/offset+octet-stream"
	// maxMetadata bounds the pairs of Upload-Metadata.
	maxMetadata = 16
)

// tus wraps the protocol's frame around a handler: each answer has the version,
// and a request in another one is refused.
func tus(handle func(*call) error) func(*call) error {
	return func(c *call) error {
		h := c.w.Header()
		h.Set("Tus-Resumable", tusVersion)
		if c.r.Method != http.MethodOptions && c.r.Header.Get("Tus-Resumable") != tusVersion {
			h.Set("Tus-Version", tusVersion)
			return &answerError{
				err:  status.Invalid("upload.version", "the protocol", []status.Fault{{Field: "Tus-Resumable", Got: orNothing(c.r.Header.Get("Tus-Resumable")), Want: tusVersion}}),
				code: http.StatusPreconditionFailed,
			}
		}
		return handle(c)
	}
}

func (c *call) tusOptions() error {
	h := c.w.Header()
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", tusExtensions)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// tusLength is the upload's length, -1 where it is deferred.
func tusLength(h http.Header, deferred bool) (int64, error) {
	text := h.Get("Upload-Length")
	if text == "" && deferred && h.Get("Upload-Defer-Length") == "1" {
		return -1, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, status.Invalid("upload.length", "the upload", []status.Fault{{Field: "Upload-Length", Got: orNothing(text), Want: "a number of bytes, or Upload-Defer-Length: 1"}})
	}
	return int64(n), nil
}

func tusMetadata(h http.Header) (map[string]string, error) {
	out := map[string]string{}
	text := strings.TrimSpace(strings.Join(h.Values("Upload-Metadata"), ","))
	if text == "" {
		return out, nil
	}
	pairs := strings.Split(text, ",")
	if len(pairs) > maxMetadata {
		return nil, status.Invalid("upload.metadata", "the upload", []status.Fault{{Field: "Upload-Metadata", Got: strconv.Itoa(len(pairs)) + " pairs", Want: "at most 16"}})
	}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		b, err := base64.StdEncoding.DecodeString(value)
		if _, twice := out[key]; err != nil || key == "" || twice {
			return nil, status.Invalid("upload.metadata", "the upload", []status.Fault{{Field: "Upload-Metadata", Got: brief(pair), Want: "KEY BASE64, each key once"}})
		}
		out[key] = string(b)
	}
	return out, nil
}

func (c *call) tusCreate() error {
	length, err := tusLength(c.r.Header, true)
	if err != nil {
		return err
	}
	meta, err := tusMetadata(c.r.Header)
	if err != nil {
		return err
	}
	ns, err := c.place(meta["namespace"])
	if err != nil {
		return err
	}
	first := func(names ...string) string {
		for _, n := range names {
			if meta[n] != "" {
				return meta[n]
			}
		}
		return ""
	}
	name := first("filename", "name")
	if name == "" {
		name = "upload"
	}
	store := c.api.cfg.Artifacts
	a, err := store.Create(c.ctx(), ns, name, first("filetype", "content_type"), c.caller.Subject, nil)
	if err != nil {
		return err
	}
	if err := store.Begin(c.ctx(), ns, a.ID, length); err != nil {
		_ = store.Delete(c.ctx(), ns, a.ID) // stale ones are removed later
		return err
	}
	c.w.Header().Set("Location", "/api/v1/uploads/"+a.ID)
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// tusOffset sets the headers that say how far an upload is.
func (c *call) tusOffset(a artifacts.Artifact) error {
	h := c.w.Header()
	offset, length := a.Size, a.Size
	if !a.Complete {
		var err error
		if offset, length, err = c.api.cfg.Artifacts.Offset(c.ctx(), a.Namespace, a.ID); err != nil {
			return err
		}
	}
	h.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	if length < 0 {
		h.Set("Upload-Defer-Length", "1")
	} else {
		h.Set("Upload-Length", strconv.FormatInt(length, 10))
	}
	return nil
}

func (c *call) tusHead() error {
	a, err := c.theArtifact(auth.ActionRead)
	if err != nil {
		return err
	}
	if err := c.tusOffset(a); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) tusPatch() error {
	a, err := c.theArtifact(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if m := c.media(); m != tusMedia {
		return wrongMedia(m, tusMedia)
	}
	text := c.r.Header.Get("Upload-Offset")
	offset, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return status.Invalid("upload.offset_malformed", "the upload", []status.Fault{{Field: "Upload-Offset", Got: orNothing(text), Want: "the number of bytes that are here"}})
	}
	want, err := digests(c.r.Header)
	if err != nil {
		return err
	}
	store := c.api.cfg.Artifacts
	if c.r.Header.Get("Upload-Length") != "" && !a.Complete {
		length, err := tusLength(c.r.Header, false)
		if err != nil {
			return err
		}
		if err := store.Begin(c.ctx(), a.Namespace, a.ID, length); err != nil {
			return err
		}
	}
	if a.Complete {
		return status.New(status.Conflict, "upload.offset", "the upload is complete")
	}
	in, leave, err := c.upload(0)
	if err != nil {
		return err
	}
	defer leave()
	next, err := store.Append(c.ctx(), a.Namespace, a.ID, int64(offset), in, want)
	if err != nil {
		return in.blame(err)
	}
	c.patient()
	c.w.Header().Set("Upload-Offset", strconv.FormatInt(next, 10))
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// orNothing is a header's value as an error repeats it.
func orNothing(text string) string { return cmp.Or(brief(text), "nothing") }

func (c *call) tusDelete() error { return c.deleteArtifact() }
