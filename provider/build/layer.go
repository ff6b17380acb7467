package build

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// Modes of entries: all that is known of an uploaded file is whether it is executable.
const (
	modeFile = 0o644
	modeExec = 0o755
	modeDir  = 0o755
)

// epoch is the time of every entry.
var epoch = time.Unix(0, 0)

// layerWriter writes one layer. Its caller gives entries in order, parents first.
type layerWriter struct {
	ctx  context.Context // the build's; ends a copy
	f    *os.File
	buf  *bufio.Writer
	sum  *digestWriter
	tw   *tar.Writer
	path string
}

// digestWriter hashes and counts what the file gets, and holds it to the cap.
type digestWriter struct {
	w    io.Writer
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
	size int64
}

func (d *digestWriter) Write(p []byte) (int, error) {
	if d.size+int64(len(p)) > oci.MaxLayerSize {
		return 0, status.New(status.InvalidArgument, "build.size", "the files have more than %d bytes", int64(oci.MaxLayerSize))
	}
	n, err := d.w.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	return n, err
}

// newLayer begins a layer in the build's directory.
func newLayer(ctx context.Context, res *Result, name string) (*layerWriter, error) {
	path := filepath.Join(res.dir, name+".tar")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	w := layerTo(ctx, f)
	w.f, w.path = f, path
	return w, nil
}

// layerTo begins a layer that is only written to out.
func layerTo(ctx context.Context, out io.Writer) *layerWriter {
	w := &layerWriter{ctx: ctx, sum: &digestWriter{w: out, hash: sha256.New()}}
	w.buf = bufio.NewWriterSize(w.sum, 256<<10)
	w.tw = tar.NewWriter(w.buf)
	return w
}

func (w *layerWriter) header(name string, kind byte, mode, size int64, link string) error {
	err := w.tw.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: size, Linkname: link, ModTime: epoch})
	if err != nil {
		return diskError(err)
	}
	return nil
}

// dir adds a directory.
func (w *layerWriter) dir(name string, mode int64) error {
	return w.header(name+"/", tar.TypeDir, mode, 0, "")
}

// link adds a symbolic link.
func (w *layerWriter) link(name, target string) error {
	return w.header(name, tar.TypeSymlink, 0o777, 0, target)
}

// bytes adds a file.
func (w *layerWriter) bytes(name string, mode int64, data []byte) error {
	if err := w.header(name, tar.TypeReg, mode, int64(len(data)), ""); err != nil {
		return err
	}
	if _, err := w.tw.Write(data); err != nil {
		return diskError(err)
	}
	return nil
}

// file adds size bytes of r, which must end there.
func (w *layerWriter) file(name string, mode, size int64, r io.Reader) error {
	if err := w.header(name, tar.TypeReg, mode, size, ""); err != nil {
		return err
	}
	n, err := io.Copy(w.tw, reading{w.ctx, r})
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != size {
		return status.New(status.Conflict, "build.changed", "%.200q changed while it was read", name)
	}
	if err != nil {
		return diskError(err)
	}
	return nil
}

// reading ends with its context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// end writes what a layer ends with, and returns its digest.
func (w *layerWriter) end(err error) (digest string, _ error) {
	if err == nil {
		err = w.tw.Close()
	}
	if err == nil {
		err = w.buf.Flush()
	}
	return "sha256:" + hex.EncodeToString(w.sum.hash.Sum(nil)), err
}

// finish closes the layer's file and describes it; it is called once, also after an error.
func (w *layerWriter) finish(err error) (oci.Layer, error) {
	digest, err := w.end(err)
	if closing := w.f.Close(); err == nil && closing != nil {
		err = diskError(closing)
	}
	if err != nil {
		return oci.Layer{}, err
	}
	path, size := w.path, w.sum.size
	return oci.Layer{
		MediaType: oci.MediaTypeLayer, Digest: digest, Size: size,
		Open: func(context.Context) (io.ReadCloser, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			return oci.Verify(f, digest, size, "layer "+digest), nil
		},
	}, nil
}
