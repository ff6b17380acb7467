package source

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var errTrailing = errors.New("something follows the archive")

// gunzip reads gzip members one after another (RFC 1952, 2.2) until the end or
// until zeros, with which tapes and block devices pad. Anything else is errTrailing.
type gunzip struct {
	br *bufio.Reader
	z  *gzip.Reader
	// over is set when the last member has ended.
	over bool
}

func (g *gunzip) Read(b []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.br)
		if err != nil {
			return 0, err
		}
		g.z = z
		g.z.Multistream(false)
	}
	for !g.over {
		n, err := g.z.Read(b)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

func (g *gunzip) next() error {
	head, err := g.br.Peek(2)
	if len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		if err := g.z.Reset(g.br); err != nil {
			return err
		}
		g.z.Multistream(false)
		return nil
	}
	if err != nil && err != io.EOF {
		return err
	}
	g.over = true
	return onlyZeros(g.br, make([]byte, blockBytes))
}

// onlyZeros reads r to its end.
func onlyZeros(r io.Reader, buf []byte) error {
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return errTrailing
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// unzstd remembers that a window was refused.
type unzstd struct {
	*zstd.Decoder
	err error
}

func newZstd(r io.Reader) (*unzstd, error) {
	// One block at a time, in the goroutine that reads.
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow), zstd.WithDecodeBuffersBelow(0))
	return &unzstd{Decoder: d}, err
}

func (z *unzstd) Read(b []byte) (int, error) {
	n, err := z.Decoder.Read(b)
	if err != nil {
		z.err = err
	}
	return n, err
}

func (z *unzstd) tooWide() bool {
	return errors.Is(z.err, zstd.ErrWindowSizeExceeded) || errors.Is(z.err, zstd.ErrDecoderSizeExceeded)
}
