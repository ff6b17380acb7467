package content

import (
	"context"
	"errors"
	"fmt"

	"apocryph/proto/status"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// maxTreeNodes bounds the inner nodes of one DAG: enough for terabytes in
// 1 MiB leaves. A stranger's root could otherwise have nodes without end.
const maxTreeNodes = 16384

// errSkip, returned by a visitor, leaves out what is below a node.
var errSkip = errors.New("skip")

// inner reads and decodes an inner node from the block store.
func (s *Store) inner(ctx context.Context, c cid.Cid) (inner, error) {
	b, err := s.blocks.Get(ctx, c)
	if err != nil {
		return inner{}, err
	}
	in, err := parseInner(b.RawData())
	if err != nil {
		return inner{}, status.Wrap(err, status.InvalidArgument, "content.node", "unusable node in the content")
	}
	return in, nil
}

// walkFile calls leaf for every leaf of a file, in order. All inner nodes are here.
func (s *Store) walkFile(ctx context.Context, top child, leaf func(c child, off int64) error) error {
	return s.walk(ctx, top, func(c child, off int64, in *inner) error {
		if in == nil {
			return leaf(c, off)
		}
		if in.dir {
			return errors.New("directory where a file was expected")
		}
		return nil
	})
}

// walk visits what is below top, depth first in link order, top included. For
// an inner node in is set, for a leaf it is nil. Within a directory off is
// meaningless. It stops at the first error, but [errSkip].
func (s *Store) walk(ctx context.Context, top child, visit func(c child, off int64, in *inner) error) error {
	type item struct {
		child
		off   int64
		depth int
	}
	stack := []item{{child: top}}
	for nodes := 0; len(stack) > 0; {
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if isLeaf(it.cid) {
			if err := visit(it.child, it.off, nil); err != nil && !errors.Is(err, errSkip) {
				return err
			}
			continue
		}
		if nodes++; nodes > maxTreeNodes || it.depth > maxDepth {
			return fmt.Errorf("content of more than %d nodes or %d levels", maxTreeNodes, maxDepth)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		in, err := s.inner(ctx, it.cid)
		if err != nil {
			return err
		}
		if !in.dir && it.size >= 0 && in.size != it.size {
			return fmt.Errorf("node of %d bytes where %d were expected", in.size, it.size)
		}
		switch err := visit(it.child, it.off, &in); {
		case errors.Is(err, errSkip):
			continue
		case err != nil:
			return err
		}
		off := it.off + in.size
		for i := len(in.children) - 1; i >= 0; i-- {
			c := in.children[i]
			if !in.dir {
				off -= c.size
			}
			stack = append(stack, item{c, off, it.depth + 1})
		}
	}
	return nil
}

// put writes blocks that were verified or made here. They are safe from GC for
// a while, until they can be pinned.
func (s *Store) put(ctx context.Context, bs ...blocks.Block) error {
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	now := s.now()
	for _, b := range bs {
		if k, ok := keyOf(b.Cid()); ok {
			s.fresh[k] = now
		}
	}
	s.mu.Unlock()
	for _, b := range bs {
		if err := s.blocks.Put(ctx, b); err != nil {
			return diskError(err)
		}
	}
	return nil
}

func errNotHere(c cid.Cid) error {
	return status.Wrap(format.ErrNotFound{Cid: c}, status.NotFound, "content.not_found", "content %s is not here", c)
}
