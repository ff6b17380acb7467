package httpclient

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"time"

	"apocryph/p2p/oci"
)

// File is one part "files" of a deploy.
type File struct {
	// Name is the part's file name, Size its bytes, for progress.
	Name string
	Size int64
	// Write writes the content. It is called once for each time that the request
	// is sent, and writes the same each time.
	Write func(context.Context, io.Writer) error
}

// ImageFile is an image as a file of a deploy: a tar whose one file is an OCI
// archive. Archives are unpacked over there and one within another is not, so
// that the archive arrives as it is.
func ImageFile(img *oci.Image) (File, error) {
	size, err := oci.ArchiveSize(img, "")
	if err != nil {
		return File{}, err
	}
	const block = 512 // of a tar, in bytes
	return File{
		Name: "image.tar", Size: block + (size+block-1)/block*block + 2*block,
		Write: func(ctx context.Context, w io.Writer) error {
			tw := tar.NewWriter(w)
			h := &tar.Header{Typeflag: tar.TypeReg, Name: "image.tar", Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatGNU}
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			if err := oci.WriteArchive(ctx, tw, img, ""); err != nil {
				return err
			}
			return tw.Close()
		},
	}, nil
}

// body is a request's body, written as it is read.
type body struct {
	*io.PipeReader
	contentType string
	done        chan struct{}
	// err is why the body could not be made; read it after done.
	err error
}

// errBodyClosed is that of a body whose request has ended.
var errBodyClosed = errors.New("the request has ended")

func (r Request) body(ctx context.Context, report func(Event)) *body {
	pr, pw := io.Pipe()
	m := multipart.NewWriter(pw)
	b := &body{PipeReader: pr, contentType: m.FormDataContentType(), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		err := r.write(ctx, m, report)
		if errors.Is(err, errBodyClosed) || errors.Is(err, io.ErrClosedPipe) {
			return // the other end was closed first
		}
		b.err = err
		_ = pw.CloseWithError(err) // it never fails
	}()
	return b
}

// end waits for the writer and returns why it failed, if it was its own fault.
func (b *body) end() error {
	_ = b.CloseWithError(errBodyClosed) // it never fails
	<-b.done
	return b.err
}

func (r Request) write(ctx context.Context, m *multipart.Writer, report func(Event)) error {
	w, err := m.CreateFormField("manifest")
	if err == nil {
		_, err = w.Write(r.Manifest)
	}
	if err != nil {
		return err
	}
	c := &counted{report: report}
	for _, f := range r.Files {
		c.total += f.Size
	}
	for _, f := range r.Files {
		w, err := m.CreateFormFile("files", f.Name)
		if err != nil {
			return err
		}
		c.w = w
		if err := f.Write(ctx, c); err != nil {
			return err
		}
	}
	return m.Close()
}

// counted tells how many bytes went through it.
type counted struct {
	w           io.Writer
	done, total int64
	report      func(Event)
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.done += int64(n)
	if n > 0 {
		c.report(Event{Kind: "upload", Done: c.done, Total: max(c.total, c.done)})
	}
	return n, err
}
