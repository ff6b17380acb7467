package content

import (
	"bufio"
	"context"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
)

const (
	// openTime bounds the opening of a stream, with a dial where that is needed.
	openTime = 20 * time.Second
	// idleTime bounds the wait for the next byte: a peer that stops sending
	// would hold a fetch for ever, and keep it from asking others.
	idleTime = 30 * time.Second
	// hashers verify and write the leaves of one stream; they hold up to
	// 2*hashers+1 buffers.
	hashers = 2
	// leafStreams is how many single leaves are asked for at once.
	leafStreams = 4
	// peerPulls bounds the blobs that are fetched from one peer at once, so that
	// its streams stay below the peerStreams that it allows, and the first
	// layers of an image are not slowed by the last.
	peerPulls = peerStreams / leafStreams
)

// pull asks a peer for top and hands what arrives to the sink.
func (s *Store) pull(ctx context.Context, p peer.ID, root cid.Cid, top want, skipLeaves bool, to sink) error {
	open, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	st, err := s.openStream(open, p)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() }) // unblocks the reads
	defer stop()
	err = s.exchangeOn(st, request{root, top.cid, skipLeaves}, top, to)
	if err != nil {
		_ = st.Reset() // the peer stops sending
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	_ = st.Close() // all was read
	return nil
}

func (s *Store) exchangeOn(st network.Stream, req request, top want, to sink) error {
	_ = st.SetWriteDeadline(time.Now().Add(s.idle))
	if err := writeRequest(st, req); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(&idleReader{st, s.idle}, 64<<10)
	if err := readResponse(r); err != nil {
		return err
	}
	return receive(sections{r}, top, req.skipLeaves, to)
}

// idleReader gives every read its own deadline.
type idleReader struct {
	st   network.Stream
	wait time.Duration
}

func (r *idleReader) Read(p []byte) (int, error) {
	if err := r.st.SetReadDeadline(time.Now().Add(r.wait)); err != nil {
		return 0, err
	}
	return r.st.Read(p)
}

// fromPeer asks one peer for all that is missing, in order.
func (f *fetch) fromPeer(ctx context.Context, p peer.ID) error {
	leave, err := f.s.enterPull(ctx, p)
	if err != nil {
		return err
	}
	defer leave()
	for {
		wants, err := f.missing(ctx, false)
		if err != nil || len(wants) == 0 {
			return err
		}
		before := f.arrived()
		for len(wants) > 0 {
			n := 0 // leaves at the front are asked for side by side
			for n < len(wants) && isLeaf(wants[n].cid) {
				n++
			}
			g, gctx := errgroup.WithContext(ctx)
			g.SetLimit(leafStreams)
			for _, w := range wants[:max(n, 1)] {
				g.Go(func() error { return f.pullPart(gctx, p, w) })
			}
			if err := g.Wait(); err != nil {
				return err
			}
			wants = wants[max(n, 1):]
		}
		if f.arrived() == before && f.req.Size > 0 {
			return lying("answers without the content that was asked for")
		}
	}
}

// pullPart brings one part of the blob. Leaves are verified and written beside
// the reading of the stream.
func (f *fetch) pullPart(ctx context.Context, p peer.ID, w want) error {
	type job struct {
		w   want
		buf *[]byte
	}
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job, hashers)
	g.Go(func() error {
		defer close(jobs)
		return f.s.pull(ctx, p, f.req.Root, w, false, sink{
			inner:  func(_ want, data []byte, in inner) error { return f.putInner(ctx, in, data) },
			buffer: f.s.buffer,
			leaf: func(w want, buf *[]byte) error {
				select {
				case jobs <- job{w, buf}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
		})
	})
	for range hashers {
		g.Go(func() error {
			for j := range jobs {
				err := f.write(j.w, *j.buf, SourcePeer)
				f.s.release(j.buf)
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// write verifies a leaf and writes it to its place.
func (f *fetch) write(w want, data []byte, source string) error {
	if err := verify(w.cid, data); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(data, w.off); err != nil {
		return local{diskError(err)}
	}
	f.mark(w, source)
	return nil
}

// putInner keeps a verified inner node of the blob.
func (f *fetch) putInner(ctx context.Context, in inner, data []byte) error {
	if in.dir {
		return lying("directory where a file was expected")
	}
	return f.s.putData(ctx, data)
}

// putData keeps a verified inner node.
func (s *Store) putData(ctx context.Context, data []byte) error {
	c, err := dagPB.Sum(data)
	if err != nil {
		return local{err}
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err == nil {
		err = s.put(ctx, b)
	}
	if err != nil {
		return local{err}
	}
	return nil
}

// enterPull waits for one of a peer's places.
func (s *Store) enterPull(ctx context.Context, p peer.ID) (leave func(), err error) {
	s.mu.Lock()
	slot, ok := s.pulls[p]
	if !ok {
		slot = &pullSlot{free: make(chan struct{}, peerPulls)}
		s.pulls[p] = slot
	}
	slot.users++
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if slot.users--; slot.users == 0 {
			delete(s.pulls, p)
		}
	}
	select {
	case slot.free <- struct{}{}:
		return func() { <-slot.free; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

type pullSlot struct {
	free  chan struct{}
	users int
}
