package artifacts

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync/atomic"

	"apocryph/proto/status"
)

const (
	// blockSize is how much is read at once, in bytes.
	blockSize = 256 << 10
	// blocks are how many of them one upload may have between reading and the
	// disk: with the cipher's own buffers, less than 2 MiB for each upload. A
	// slow client's upload has one.
	blocks = 4
)

type block struct {
	data [blockSize]byte
	n    int
	// users are the goroutines that have yet to be done with it.
	users atomic.Int32
}

// errTooLong is content that goes on after its limit.
var errTooLong = errors.New("more bytes than allowed")

// pumped is what came of one stream. The bytes that were read are all in the
// hashes and, without a write error, in the segment.
type pumped struct {
	n int64
	// read is why reading ended; nil at the content's regular end.
	read error
	// write is an error of the disk or of the budget.
	write error
}

// pump reads r once, to its end or to limit bytes, and gives each block to
// the hashes and to dst side by side: SHA-256 is the slower of the two, and the
// cipher and the disk must not add to its time. grow is asked before a block is
// used.
func (s *Store) pump(ctx context.Context, r io.Reader, limit int64, dst io.Writer, grow func(int64) error, hashes ...hash.Hash) pumped {
	free := make(chan *block, blocks)
	toHash, toWrite := make(chan *block, blocks), make(chan *block, blocks)
	release := func(b *block) {
		if b.users.Add(-1) == 0 {
			free <- b
		}
	}
	hashed, written := make(chan struct{}), make(chan error, 1)
	var broken atomic.Bool
	go func() {
		defer close(hashed)
		for b := range toHash {
			for _, h := range hashes {
				h.Write(b.data[:b.n])
			}
			release(b)
		}
	}()
	go func() {
		var err error
		for b := range toWrite {
			if err == nil {
				if _, err = dst.Write(b.data[:b.n]); err != nil {
					broken.Store(true)
				}
			}
			release(b)
		}
		written <- err
	}()

	var out pumped
	made := 0
	for out.read == nil && out.write == nil && !broken.Load() {
		var b *block
		select {
		case b = <-free:
		default:
			if made < blocks {
				b, made = s.blocks.Get().(*block), made+1
			} else {
				b = <-free
			}
		}
		var end bool
		b.n, end, out.read = fill(ctx, r, b.data[:])
		if int64(b.n) > limit-out.n {
			b.n, out.read = 0, errTooLong
		}
		if b.n > 0 {
			out.write = grow(int64(b.n))
		}
		if b.n == 0 || out.write != nil {
			s.blocks.Put(b)
			made--
		} else {
			out.n += int64(b.n)
			b.users.Store(2)
			toHash <- b
			toWrite <- b
		}
		if end {
			break
		}
	}
	close(toHash)
	close(toWrite)
	<-hashed
	if err := <-written; err != nil {
		out.write = err
	}
	for range made {
		s.blocks.Put(<-free)
	}
	return out
}

// fill reads until the buffer is full. end is the regular end of the content.
func fill(ctx context.Context, r io.Reader, buf []byte) (n int, end bool, err error) {
	empty := 0
	for n < len(buf) {
		if err := ctx.Err(); err != nil {
			return n, false, err
		}
		got, err := r.Read(buf[n:])
		n += got
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, false, err
		case got > 0:
			empty = 0
		default:
			// A reader that gives nothing for ever would spin here.
			if empty++; empty > 100 {
				return n, false, io.ErrNoProgress
			}
		}
	}
	return n, false, nil
}

// interrupted is the answer to content that broke off. The reader's own error
// is its cause.
func interrupted(cause error, kept int64) error {
	return status.Wrap(cause, status.Canceled, "upload.interrupted", "the content broke off, %d bytes of the artifact are kept", kept)
}

func tooLarge(limit int64) error {
	return status.New(status.InvalidArgument, "artifact.too_large", "the content is larger than %d bytes", limit)
}

func (s *Store) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}
