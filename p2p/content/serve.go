package content

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
)

const (
	serviceName = "apocryph.content"
	// requestTime bounds the wait for a request: a peer that opens streams and
	// stays silent would hold their memory.
	requestTime = 10 * time.Second
	// writeTime bounds the sending of one block: a peer that reads slowly would
	// hold buffers and a slot for ever. It allows for 17 KiB/s.
	writeTime = 60 * time.Second
	// peerStreams bounds the streams of one peer, and allStreams those of all:
	// each costs dagMemory.
	peerStreams = 16
	allStreams  = 64
	// readAhead is how many blocks are read from disk before they are sent.
	readAhead = 1
	// headMemory is reserved before a request is read, leafMemory or dagMemory
	// for its answer.
	headMemory = 64 << 10
	leafMemory = bufferSize
	dagMemory  = (readAhead + 2) * bufferSize
	// maxAsked bounds what is remembered of requests; each costs about 150 bytes.
	maxAsked = 4096
	// bufferSize holds a leaf and the head of its section.
	bufferSize = ChunkSize + 4096
)

// streams counts the content streams that are being served.
type streams struct {
	mu    sync.Mutex
	all   int
	peers map[peer.ID]int
	// asked is what was asked for lately, and by whom.
	asked map[asked]struct{}
}

type asked struct {
	by   peer.ID
	what cid.Cid
}

// again reports whether a peer asked for this before.
func (t *streams) again(by peer.ID, what cid.Cid) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := asked{by, what}
	if _, ok := t.asked[a]; ok {
		return true
	}
	if len(t.asked) >= maxAsked {
		clear(t.asked) // forgetting costs a check at most
	}
	t.asked[a] = struct{}{}
	return false
}

func (t *streams) enter(s network.Stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := s.Conn().RemotePeer()
	if t.all >= allStreams || t.peers[p] >= peerStreams {
		return false
	}
	t.all++
	t.peers[p]++
	return true
}

func (t *streams) leave(s network.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := s.Conn().RemotePeer()
	t.all--
	if t.peers[p]--; t.peers[p] <= 0 {
		delete(t.peers, p)
	}
}

// serve answers one content stream.
func (s *Store) serve(ctx context.Context, t *streams, st network.Stream) {
	log := s.log.With("peer", st.Conn().RemotePeer())
	if err := st.Scope().SetService(serviceName); err != nil {
		_ = st.Reset()
		return
	}
	if err := st.Scope().ReserveMemory(headMemory, network.ReservationPriorityAlways); err != nil {
		_ = st.Reset()
		return
	}
	defer st.Scope().ReleaseMemory(headMemory)
	refuse := func(err error) {
		log.Debug("refused a content request", "error", err)
		_ = st.SetWriteDeadline(time.Now().Add(requestTime))
		if writeResponse(st, 0, 0, err) != nil || st.CloseWrite() != nil {
			_ = st.Reset()
			return
		}
		_ = st.Close()
	}
	busy := status.New(status.ResourceExhausted, "content.busy", "too many content streams").WithRetryAfter(time.Second)
	if !t.enter(st) {
		refuse(busy)
		return
	}
	defer t.leave(st)
	_ = st.SetReadDeadline(time.Now().Add(requestTime))
	req, err := readRequest(bufio.NewReaderSize(st, maxRequest))
	if err != nil {
		refuse(err)
		return
	}
	// One answer for what is not here and what is not granted: nobody learns
	// what this node has.
	if !s.access.below(st.Conn().RemotePeer(), req.root, req.cid) {
		refuse(status.New(status.PermissionDenied, "content.denied", "this content is not here, or not granted to you"))
		return
	}
	memory := dagMemory
	if isLeaf(req.cid) {
		memory = leafMemory
	}
	if err := st.Scope().ReserveMemory(memory, network.ReservationPriorityAlways); err != nil {
		refuse(busy)
		return
	}
	defer st.Scope().ReleaseMemory(memory)
	if f, ok := s.files.around(req.cid); ok && t.again(st.Conn().RemotePeer(), f.node) {
		// Whoever asks for a file twice may have found a wrong leaf in it.
		s.distrust(ctx, f)
	}
	if err := s.answer(ctx, st, req); err != nil {
		log.Debug("content stream broke", "cid", req.cid, "error", err)
		_ = st.Reset()
		return
	}
	_ = st.Close()
}

// answer sends the response and the sections.
func (s *Store) answer(ctx context.Context, st network.Stream, req request) error {
	blocks, bytes, err := s.measure(ctx, req)
	_ = st.SetWriteDeadline(time.Now().Add(s.slow))
	if err != nil {
		return writeResponse(st, 0, 0, err)
	}
	if err := writeResponse(st, blocks, bytes, nil); err != nil {
		return err
	}
	ready := make(chan *[]byte, readAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(ready)
		return s.traverse(ctx, req, func(c child, data []byte) error {
			buf, err := s.section(ctx, c, data)
			if err != nil {
				return err
			}
			select {
			case ready <- buf:
				return nil
			case <-ctx.Done():
				s.release(buf)
				return ctx.Err()
			}
		})
	})
	g.Go(func() error {
		for buf := range ready {
			if s.onSection != nil {
				s.onSection(len(*buf))
			}
			_ = st.SetWriteDeadline(time.Now().Add(s.slow))
			_, err := st.Write(*buf)
			s.release(buf)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return st.CloseWrite()
}

// traverse visits what a request asks for in the order of the wire. Data is set
// for inner nodes.
func (s *Store) traverse(ctx context.Context, req request, visit func(c child, data []byte) error) error {
	seen := map[cid.Cid]struct{}{}
	return s.walk(ctx, child{cid: req.cid, size: unknownSize}, func(c child, _ int64, in *inner) error {
		if in == nil {
			if req.skipLeaves {
				return nil
			}
			return visit(c, nil)
		}
		if _, again := seen[c.cid]; again {
			return errSkip
		}
		seen[c.cid] = struct{}{}
		return visit(c, in.raw)
	})
}

// measure counts what will be sent.
func (s *Store) measure(ctx context.Context, req request) (blocks, bytes uint64, err error) {
	err = s.traverse(ctx, req, func(c child, data []byte) error {
		blocks++
		if data != nil {
			bytes += uint64(len(data))
			return nil
		}
		n, err := view{s}.GetSize(ctx, c.cid)
		bytes += uint64(max(n, 0))
		return err
	})
	if format.IsNotFound(err) {
		err = status.Wrap(err, status.NotFound, "content.incomplete", "this content is not complete here")
	}
	return blocks, bytes, err
}

// section makes one section in a pooled buffer: head and data. The receiver
// verifies every block.
func (s *Store) section(ctx context.Context, c child, data []byte) (*[]byte, error) {
	if data == nil {
		k, _ := keyOf(c.cid)
		if r, ok := s.files.leaf(k); ok {
			head := appendSection(make([]byte, 0, 64), c.cid, int(r.size))
			buf := s.buffer(len(head) + int(r.size))
			copy(*buf, head)
			if err := s.readLeaf(ctx, r, k, (*buf)[len(head):], true); err != nil {
				s.release(buf)
				return nil, err
			}
			return buf, nil
		}
		b, err := view{s}.Get(ctx, c.cid)
		if err != nil {
			return nil, fmt.Errorf("reading leaf: %w", err)
		}
		data = b.RawData()
	}
	head := appendSection(make([]byte, 0, 64), c.cid, len(data))
	buf := s.buffer(len(head) + len(data))
	copy((*buf)[copy(*buf, head):], data)
	return buf, nil
}

// buffer returns a buffer of n bytes, pooled where it is of the common size.
func (s *Store) buffer(n int) *[]byte {
	if n > bufferSize {
		b := make([]byte, n)
		return &b
	}
	b := s.buffers.Get().(*[]byte)
	*b = (*b)[:n]
	return b
}

func (s *Store) release(b *[]byte) {
	if cap(*b) == bufferSize {
		s.buffers.Put(b)
	}
}
