package content

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// want is a part of a DAG that is asked for: where it is in its file and how
// long it must be.
type want struct {
	child
	off   int64
	depth int
}

// lie is an answer that no honest peer gives: it is not asked again.
type lie struct{ error }

func (l lie) Unwrap() error { return l.error }

func lying(format string, args ...any) error { return lie{fmt.Errorf(format, args...)} }

// sink takes what arrives. Inner nodes are verified when it gets them; a leaf
// is not, so that hashing need not hold up the stream.
type sink struct {
	inner func(w want, data []byte, in inner) error
	// leaf owns buf from here on.
	leaf func(w want, buf *[]byte) error
	// buffer returns a buffer of the given length.
	buffer func(n int) *[]byte
}

// receive reads the answer to a request for top: the same walk as the sender's,
// so that every block is known before it comes. An inner node that is met again
// is neither sent nor followed a second time.
func receive(s sections, top want, skipLeaves bool, to sink) error {
	stack := []want{top}
	seen := map[cid.Cid]struct{}{}
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if isLeaf(w.cid) {
			if skipLeaves {
				continue
			}
			n, err := s.next(w.cid)
			if err != nil {
				return err
			}
			if w.size >= 0 && int64(n) != w.size {
				return lying("leaf of %d bytes where %d were expected", n, w.size)
			}
			buf := to.buffer(n)
			if _, err := io.ReadFull(s.r, *buf); err != nil {
				return unexpectedEOF(err)
			}
			if err := to.leaf(w, buf); err != nil {
				return err
			}
			continue
		}
		if _, again := seen[w.cid]; again {
			continue
		}
		seen[w.cid] = struct{}{}
		if len(seen) > maxTreeNodes || w.depth > maxDepth {
			return lying("content of more than %d nodes or %d levels", maxTreeNodes, maxDepth)
		}
		in, data, err := receiveInner(s, w)
		if err != nil {
			return err
		}
		if err := to.inner(w, data, in); err != nil {
			return err
		}
		off := w.off + in.size
		for i := len(in.children) - 1; i >= 0; i-- {
			c := in.children[i]
			if !in.dir {
				off -= c.size
			}
			stack = append(stack, want{c, off, w.depth + 1})
		}
	}
	return s.end()
}

func receiveInner(s sections, w want) (inner, []byte, error) {
	n, err := s.next(w.cid)
	if err != nil {
		return inner{}, nil, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(s.r, data); err != nil {
		return inner{}, nil, unexpectedEOF(err)
	}
	if err := verify(w.cid, data); err != nil {
		return inner{}, nil, err
	}
	in, err := checkInner(w, data)
	return in, data, err
}

// checkInner decodes a verified node and holds it against what was expected.
func checkInner(w want, data []byte) (inner, error) {
	in, err := parseInner(data)
	if err != nil {
		return inner{}, lie{err}
	}
	if w.size >= 0 && (in.dir || in.size != w.size) {
		return inner{}, lying("node of %d bytes where a file part of %d was expected", in.size, w.size)
	}
	return in, nil
}

func verify(c cid.Cid, data []byte) error {
	k, ok := keyOf(c)
	if !ok || sha256.Sum256(data) != k {
		return lying("block that does not hash to %s", c)
	}
	return nil
}
