package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

type compression int

const (
	plain compression = iota
	gzipped
	zstandard
)

// maxWindow bounds the memory that a zstd frame may ask for; level 19 uses 8 MiB, --long 128 MiB.
const maxWindow = 128 << 20

// sniff tells a compression by its magic number (RFC 1952, RFC 8878).
func sniff(head []byte) (compression, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzipped, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstandard, nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return plain, errors.New("it is compressed with xz, want gzip, zstd or nothing")
	case bytes.HasPrefix(head, []byte("BZh")):
		return plain, errors.New("it is compressed with bzip2, want gzip, zstd or nothing")
	}
	return plain, nil
}

// decompress wraps r; Close of the result does not close r.
func decompress(r io.Reader, c compression) (io.ReadCloser, error) {
	switch c {
	case gzipped:
		return gzip.NewReader(r)
	case zstandard:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// copyBuffer is the size of read buffers, in bytes.
const copyBuffer = 1 << 18

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > maxArchive {
		return 0, fmt.Errorf("it unfolds to more than %d bytes", int64(maxArchive))
	}
	return n, err
}

// until reads r until ctx ends.
func until(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// closers is a reader that closes what it reads from, in order.
type closers struct {
	io.Reader
	close []io.Closer
}

func (c *closers) Close() error {
	var errs []error
	for _, x := range c.close {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
