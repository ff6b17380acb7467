package content

import (
	"context"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
)

// maxTreeBytes bounds the inner nodes that a tree may bring; a stranger's root
// is asked for before anything of it is known.
const maxTreeBytes = 64 << 20

// FetchTree brings all inner nodes below the root: the shape of its directories
// and files without their bytes. It takes one round trip from a peer that
// speaks the content stream.
func (s *Store) FetchTree(ctx context.Context, from Origin) error {
	release := s.lease(from.Root)
	defer release()
	var bytes int64
	keep := func(data []byte) error {
		if bytes += int64(len(data)); bytes > maxTreeBytes {
			return lying("more than %d bytes of inner nodes", maxTreeBytes)
		}
		return s.putData(ctx, data)
	}
	top := want{child: child{cid: from.Root, size: unknownSize}}
	a := asker{s: s, peers: from.From, anyone: from.Anyone, arrived: func() int64 { return bytes }}
	a.missing = func(ctx context.Context) (bool, error) {
		w, err := s.unknown(ctx, from.Root)
		return len(w) > 0, err
	}
	a.peer = func(ctx context.Context, p peer.ID) error {
		bytes = 0
		err := s.pull(ctx, p, from.Root, top, true, sink{
			inner: func(_ want, data []byte, _ inner) error { return keep(data) },
		})
		return err
	}
	a.network = func(ctx context.Context) error {
		bytes = 0
		for {
			wants, err := s.unknown(ctx, from.Root)
			if err != nil || len(wants) == 0 {
				return err
			}
			err = s.ask(ctx, wants, func(w want, b blocks.Block) error {
				if _, err := checkInner(w, b.RawData()); err != nil {
					return err
				}
				return keep(b.RawData())
			})
			if err != nil {
				return err
			}
		}
	}
	if err := a.run(ctx); err != nil {
		return fmt.Errorf("fetching the tree of %s: %w", from.Root, err)
	}
	return nil
}

// unknown lists the inner nodes below root that are not here, as far as the
// others tell of them.
func (s *Store) unknown(ctx context.Context, root cid.Cid) ([]want, error) {
	var out []want
	seen := map[cid.Cid]struct{}{}
	stack := []want{{child: child{cid: root, size: unknownSize}}}
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if _, again := seen[w.cid]; again || isLeaf(w.cid) {
			continue
		}
		seen[w.cid] = struct{}{}
		if len(seen) > maxTreeNodes || w.depth > maxDepth {
			return nil, lying("content of more than %d nodes or %d levels", maxTreeNodes, maxDepth)
		}
		in, err := s.inner(ctx, w.cid)
		if format.IsNotFound(err) {
			out = append(out, w)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, c := range in.children {
			stack = append(stack, want{c, 0, w.depth + 1})
		}
	}
	return out, nil
}

// FetchBytes brings a small file below the root and returns it. It is kept as
// blocks. A file of more than max bytes is refused before it is read.
func (s *Store) FetchBytes(ctx context.Context, from Origin, c cid.Cid, max int64) ([]byte, error) {
	release := s.lease(c)
	defer release()
	top := want{child: child{cid: c, size: unknownSize}}
	var bytes int64
	leaf := func(w want, data []byte) error {
		if bytes += int64(len(data)); bytes > max {
			return tooLarge(max)
		}
		if err := verify(w.cid, data); err != nil {
			return err
		}
		b, err := blocks.NewBlockWithCid(data, w.cid)
		if err == nil {
			err = s.put(ctx, b)
		}
		if err != nil {
			return local{err}
		}
		return nil
	}
	node := func(in inner, data []byte) error {
		switch {
		case in.dir:
			return lying("directory where a file was expected")
		case in.size > max:
			return tooLarge(max)
		}
		return s.putData(ctx, data)
	}
	a := asker{s: s, peers: from.From, anyone: from.Anyone, arrived: func() int64 { return bytes }}
	a.missing = func(ctx context.Context) (bool, error) {
		w, err := s.lacking(ctx, top, max)
		return len(w) > 0, err
	}
	a.peer = func(ctx context.Context, p peer.ID) error {
		bytes = 0
		return s.pull(ctx, p, from.Root, top, false, sink{
			inner:  func(_ want, data []byte, in inner) error { return node(in, data) },
			buffer: func(n int) *[]byte { b := make([]byte, n); return &b },
			leaf:   func(w want, buf *[]byte) error { return leaf(w, *buf) },
		})
	}
	a.network = func(ctx context.Context) error {
		bytes = 0
		for {
			wants, err := s.lacking(ctx, top, max)
			if err != nil || len(wants) == 0 {
				return err
			}
			err = s.ask(ctx, wants, func(w want, b blocks.Block) error {
				if isLeaf(w.cid) {
					return leaf(w, b.RawData())
				}
				in, err := checkInner(w, b.RawData())
				if err != nil {
					return err
				}
				return node(in, b.RawData())
			})
			if err != nil {
				return err
			}
		}
	}
	if err := a.run(ctx); err != nil {
		return nil, fmt.Errorf("fetching %s: %w", c, err)
	}
	return s.ReadBytes(ctx, c, max)
}

// lacking lists the blocks of a small file that are not here.
func (s *Store) lacking(ctx context.Context, top want, max int64) ([]want, error) {
	var out []want
	stack := []want{top}
	for n := 0; len(stack) > 0; n++ {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n > maxTreeNodes || w.depth > maxDepth {
			return nil, lying("content of more than %d nodes or %d levels", maxTreeNodes, maxDepth)
		}
		if isLeaf(w.cid) {
			if ok, err := (view{s}).Has(ctx, w.cid); err != nil {
				return nil, err
			} else if !ok {
				out = append(out, w)
			}
			continue
		}
		in, err := s.inner(ctx, w.cid)
		if format.IsNotFound(err) {
			out = append(out, w)
			continue
		}
		if err != nil {
			return nil, err
		}
		if in.size > max {
			return nil, tooLarge(max)
		}
		for _, c := range in.children {
			stack = append(stack, want{c, 0, w.depth + 1})
		}
	}
	return out, nil
}
