package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containers/ocicrypt"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/readahead"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/provider"
)

const (
	// maxLayerBytes bounds one unpacked layer: a few megabytes of zstd can say
	// "a petabyte of zeros".
	maxLayerBytes = 16 << 30
	// aheadBuffers of aheadBytes each are decrypted and unfolded while what came
	// before is hashed and written.
	aheadBuffers, aheadBytes = 4, 256 << 10
	// maxWindow bounds the memory that a zstd frame can ask for (RFC 8878,
	// 3.1.1.1.2); zstd's own command line stops at the same 128 MiB.
	maxWindow = 128 << 20
)

var errLayerTooBig = errors.New("the unpacked layer is larger than 16 GiB")

// decompressor turns a compressed stream into a tar stream. The returned
// function frees what the reader holds.
type decompressor func(io.Reader) (io.Reader, func(), error)

func plainTar(r io.Reader) (io.Reader, func(), error) { return r, func() {}, nil }

func gunzip(r io.Reader) (io.Reader, func(), error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	return z, func() { z.Close() }, nil
}

func unzstd(r io.Reader) (io.Reader, func(), error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// layerStream is a layer's tar stream: fetched, decrypted and decompressed as
// it is read. It looks like a blob of containerd's content store that is read
// once, from the start.
type layerStream struct {
	ctx   context.Context
	blob  provider.ReadAtCloser
	tar   io.Reader
	close func()
	at    int64

	mu sync.Mutex
	// fetchErr is the first error of the source, as opposed to one of what it held;
	// what closing ends is none.
	fetchErr error
	closed   bool
}

// openLayer opens one layer of the image. Progress is called with the number
// of stored bytes of each read.
func (i *image) openLayer(ctx context.Context, l provider.Layer, progress func(int)) (*layerStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	blob, err := l.Open(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening layer %s: %w", l.Digest, err)
	}
	s := &layerStream{ctx: ctx, blob: blob, close: cancel}
	if err := s.open(i, l, progress); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open builds the readers on a blob. What it made is closed by Close, also after an error.
func (s *layerStream) open(i *image, l provider.Layer, progress func(int)) (err error) {
	defer sealPanic(&err)
	blob := s.blob
	stored := io.Reader(&sourceReader{s: s, r: io.NewSectionReader(blob, 0, blob.Size()), progress: progress})
	if layerTypes[l.MediaType].encrypted {
		if stored, err = i.decrypt(l, stored); err != nil {
			return fmt.Errorf("decrypting layer %s: %w", l.Digest, err)
		}
	}
	tar, free, err := layerTypes[l.MediaType].decompress(stored)
	if err != nil {
		return s.blame(fmt.Errorf("decompressing layer %s: %w", l.Digest, err))
	}
	cancel := s.close
	s.close = func() { cancel(); free() }
	// The plain stream is read to its very end, since only there is its
	// authentication code compared (HMAC-SHA256 over the ciphertext).
	ahead, err := readahead.NewReaderSize(&drainReader{r: tar, rest: stored}, aheadBuffers, aheadBytes)
	if err != nil {
		return fmt.Errorf("reading layer %s ahead: %w", l.Digest, err)
	}
	s.tar = ahead
	s.close = func() {
		// A read under way may wait for a peer: it is ended, then waited for.
		cancel()
		_ = ahead.Close() // it closes nothing below it
		free()
	}
	return nil
}

func (i *image) decrypt(l provider.Layer, stored io.Reader) (r io.Reader, err error) {
	defer sealPanic(&err)
	r, _, err = ocicrypt.DecryptLayer(i.keys, stored, encrypted(l), false)
	return r, err
}

// ReadAt reads the next bytes; off has to be where the last read ended.
func (s *layerStream) ReadAt(p []byte, off int64) (n int, err error) {
	defer sealPanic(&err)
	if off != s.at {
		return 0, fmt.Errorf("a layer is read in order: at %d, not %d", s.at, off)
	}
	if off > maxLayerBytes {
		return 0, errLayerTooBig
	}
	n, err = s.tar.Read(p)
	s.at += int64(n)
	return n, err
}

// Size is unknown until the end: larger than any layer, so that the reader
// goes on to the end of the stream.
func (s *layerStream) Size() int64 { return math.MaxInt64 }

// Close frees the stream and the blob.
func (s *layerStream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	return s.blob.Close()
}

// blame returns the source's error in place of what followed from it.
func (s *layerStream) blame(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetchErr != nil {
		return s.fetchErr
	}
	return err
}

// sourceReader counts what is read and remembers the source's own errors.
type sourceReader struct {
	s        *layerStream
	r        io.Reader
	progress func(int)
}

func (r *sourceReader) Read(p []byte) (int, error) {
	if err := r.s.ctx.Err(); err != nil {
		return 0, r.failed(err)
	}
	n, err := r.r.Read(p)
	r.progress(n)
	if err != nil && err != io.EOF {
		return n, r.failed(err)
	}
	return n, err
}

func (r *sourceReader) failed(err error) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.fetchErr == nil && !r.s.closed {
		r.s.fetchErr = err
	}
	return err
}

// drainReader reads r, then the rest below it, whose bytes do not count.
type drainReader struct{ r, rest io.Reader }

// Read runs on a goroutine of its own, where nobody else would catch a panic.
func (d *drainReader) Read(p []byte) (n int, err error) {
	defer sealPanic(&err)
	n, err = d.r.Read(p)
	if err == io.EOF {
		if _, derr := io.Copy(io.Discard, io.LimitReader(d.rest, maxLayerBytes)); derr != nil {
			return n, derr
		}
	}
	return n, err
}

// oneBlob is a content store that holds one layer stream.
type oneBlob struct{ *layerStream }

func (o oneBlob) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return o.layerStream, nil
}

// sealPanic turns a panic of a library that reads a stranger's bytes into an error.
func sealPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("reading a layer: panic: %v", p)
	}
}
