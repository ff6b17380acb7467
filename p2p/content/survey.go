package content

import (
	"context"
	"io"
	"slices"

	format "github.com/ipfs/go-ipld-format"
)

func (f *fetch) top() want { return want{child: child{cid: f.req.CID, size: f.req.Size}} }

// survey visits the parts of the blob in order, as far as its inner nodes are
// here: for a node that is not, and for a leaf, in is nil.
func (f *fetch) survey(ctx context.Context, visit func(w want, in *inner) (descend bool, err error)) error {
	stack := []want{f.top()}
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := ctx.Err(); err != nil {
			return err
		}
		var node *inner
		if !isLeaf(w.cid) {
			if w.depth > maxDepth {
				return lying("content of more than %d levels", maxDepth)
			}
			switch in, err := f.s.inner(ctx, w.cid); {
			case format.IsNotFound(err):
			case err != nil:
				return err
			default:
				if in, err = checkInner(w, in.raw); err != nil {
					return err
				}
				node = &in
			}
		}
		descend, err := visit(w, node)
		if err != nil {
			return err
		}
		if node == nil || !descend {
			continue
		}
		off := w.off + w.size
		for i := len(node.children) - 1; i >= 0; i-- {
			c := node.children[i]
			off -= c.size
			stack = append(stack, want{c, off, w.depth + 1})
		}
	}
	return nil
}

// rehash verifies what is in the file from before.
func (f *fetch) rehash(ctx context.Context) error {
	st, err := f.file.Stat()
	if err != nil {
		return local{diskError(err)}
	}
	buf := make([]byte, min(maxBlock, st.Size()))
	return f.survey(ctx, func(w want, in *inner) (bool, error) {
		if in != nil || !isLeaf(w.cid) || w.off+w.size > st.Size() {
			return true, nil
		}
		if w.size > maxBlock {
			return false, lying("leaf of %d bytes, at most %d", w.size, maxBlock)
		}
		b := buf[:w.size]
		if _, err := f.file.ReadAt(b, w.off); err != nil && err != io.EOF {
			return false, local{diskError(err)}
		}
		if verify(w.cid, b) == nil {
			f.mark(w, "")
		}
		return true, nil
	})
}

// missing lists what is to be asked for, in order: the biggest parts of which
// nothing is here; with leaves set, single blocks.
func (f *fetch) missing(ctx context.Context, single bool) ([]want, error) {
	f.mu.Lock()
	have := slices.Clone(f.have)
	f.mu.Unlock()
	var out []want
	err := f.survey(ctx, func(w want, in *inner) (bool, error) {
		end := w.off + w.size
		if have.covers(w.off, end) && (in != nil || isLeaf(w.cid)) {
			return false, nil
		}
		if in == nil || (!single && !have.touches(w.off, end)) {
			out = append(out, w)
			return false, nil
		}
		return true, nil
	})
	return out, err
}
