package httpapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"apocryph/p2p/source"
	"apocryph/proto/status"
)

const (
	partManifest = "manifest"
	partFiles    = "files"
)

// form is what a deploy was sent, in either of its forms.
type form struct {
	manifest []byte
	// tree has the files; nil without any.
	tree *source.Tree
	// sum is that of its parts; zero where the call has no Idempotency-Key.
	sum [sha256.Size]byte
	// old says that it came as application/json.
	old bool
}

func (f *form) close() {
	if f.tree != nil {
		_ = f.tree.Close() // what stays behind is swept at the next start
	}
}

// readForm reads a deploy's body, streaming files to the disk as they come. Parts
// are told by their name alone: `curl -F manifest=@file` sends the manifest as a
// file of application/octet-stream, `-F manifest={…}` as a value of no type.
func (c *call) readForm() (_ *form, err error) {
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/json":
		return c.oldForm()
	case err != nil || media != "multipart/form-data":
		return nil, wrongMedia(c.r.Header.Get("Content-Type"), "multipart/form-data, or application/json (deprecated)")
	case params["boundary"] == "":
		return nil, wrongMedia(c.r.Header.Get("Content-Type"), "multipart/form-data with a boundary, as curl -F writes it")
	}
	in, leave, err := c.upload(c.api.limits.UploadBytes)
	if err != nil {
		return nil, err
	}
	defer leave()
	f := &form{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	body, err := intactBody(c.r.Header, in)
	if err != nil {
		return nil, err
	}
	if err = f.read(c, multipart.NewReader(body, params["boundary"])); err == nil {
		err = body.check()
	}
	if err != nil {
		return nil, in.blame(err)
	}
	return f, nil
}

func (f *form) read(c *call, r *multipart.Reader) error {
	total := newPartsSum(c.attempt != nil)
	for n := 0; ; n++ {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed(err)
		}
		if n >= c.api.limits.Parts {
			return refusedPart(part.FormName(), fmt.Sprintf("part %d", n+1), fmt.Sprintf("at most %d parts", c.api.limits.Parts))
		}
		if err := total.part(part, func(r io.Reader) error { return f.part(c, part, r) }); err != nil {
			return err
		}
	}
	f.sum = total.sum()
	if f.manifest == nil {
		return status.Invalid("deploy.manifest_missing", "the form", []status.Fault{{Field: partManifest, Got: "no such part", Want: "the manifest, as JSON"}}).
			WithHint("curl -F manifest=@manifest.json -F files=@app.tar URL/deploy")
	}
	return nil
}

func (f *form) part(c *call, part *multipart.Part, r io.Reader) error {
	switch name := part.FormName(); name {
	case partManifest:
		if f.manifest != nil {
			return refusedPart(partManifest, "a second one", "one manifest")
		}
		b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
		if err != nil {
			return malformed(err)
		}
		if len(b) > maxManifest {
			return &answerError{
				err:  status.Invalid("deploy.manifest_large", "the manifest", []status.Fault{{Field: partManifest, Got: "more", Want: fmt.Sprintf("at most %d bytes", maxManifest)}}),
				code: http.StatusRequestEntityTooLarge,
			}
		}
		f.manifest = append([]byte{}, b...)
		return nil
	case partFiles:
		if f.tree == nil {
			tree, err := source.NewTree(c.api.cfg.Staging, c.api.limits.Files)
			if err != nil {
				return err
			}
			f.tree = tree
		}
		name := part.FileName()
		if name == "" {
			// A value: `curl -F files=<index.html`. It has contents and no name.
			return refusedPart(partFiles, "a part without a filename", "a file (curl -F files=@FILE)")
		}
		_, err := f.tree.Add(c.ctx(), name, r)
		return err
	default:
		return refusedPart(name, "a part of that name", "manifest and files")
	}
}

func refusedPart(name, got, want string) error {
	if name == "" {
		name = "(without a name)"
	}
	return status.Invalid("deploy.part", "the form", []status.Fault{{Field: brief(name), Got: got, Want: want}})
}

// framed is a part of a form: where the body ends within it, that is the form's
// fault, and not that of what reads the part.
type framed struct{ part *multipart.Part }

func (f framed) Read(p []byte) (int, error) {
	n, err := f.part.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = malformed(err)
	}
	return n, err
}

// malformed is a form that is none.
func malformed(err error) error {
	var e *status.Error
	if errors.As(err, &e) {
		return err
	}
	return status.Wrap(err, status.InvalidArgument, "deploy.form", "the body is not the multipart form that its Content-Type says")
}

// oldForm wraps the earlier JSON body into the same form: its manifest, and no
// files.
func (c *call) oldForm() (*form, error) {
	b, err := c.oldBody()
	if err != nil {
		return nil, err
	}
	if err := c.intact(b); err != nil {
		return nil, err
	}
	return &form{manifest: b, sum: sha256.Sum256(b), old: true}, nil
}

func (c *call) oldBody() ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, maxManifest))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, interrupted(err)
	}
	return b, err
}
