package content

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"

	"apocryph/proto/status"
)

// Indexer takes the bytes of a file while somebody writes it, so that adding it
// does not read them again. It is used by one goroutine.
type Indexer struct {
	s      *Store
	leaf   hash.Hash
	filled int
	leaves []subtree
	size   int64
}

// Indexer makes one for a new file.
func (s *Store) Indexer() *Indexer { return &Indexer{s: s, leaf: sha256.New()} }

// Write takes the next bytes of the file. It never fails.
func (x *Indexer) Write(p []byte) (int, error) {
	n := len(p)
	x.size += int64(n)
	for len(p) > 0 {
		part := p[:min(len(p), ChunkSize-x.filled)]
		x.leaf.Write(part)
		p, x.filled = p[len(part):], x.filled+len(part)
		if x.filled == ChunkSize {
			x.cut()
		}
	}
	return n, nil
}

func (x *Indexer) cut() {
	x.leaves = append(x.leaves, subtree{cid: leafCID([32]byte(x.leaf.Sum(nil))), size: uint64(x.filled), total: uint64(x.filled)})
	x.leaf.Reset()
	x.filled = 0
}

// Commit adds the file, as [Store.AddFile] does, now that it has its name and
// will not change any more. The caller vouches for the digest, "sha256:HEX", and
// for that what was written here is what is in the file.
func (x *Indexer) Commit(ctx context.Context, path, digest string) error {
	path, err := x.s.checkPath(path)
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("adding file: %w", err)
	}
	if st.Size() != x.size {
		return status.New(status.Conflict, "content.changed", "%s has %d bytes and %d were written", path, st.Size(), x.size)
	}
	if x.filled > 0 || x.size == 0 {
		x.cut()
	}
	top, inner, err := layout(x.leaves)
	if err != nil {
		return err
	}
	added := x.s.now()
	if settled := st.ModTime().Add(racyTime); added.Before(settled) {
		// What was hashed is what was written, not what was read back: there is no
		// moment in which a change could have hidden.
		added = settled
	}
	if err := x.s.put(ctx, inner...); err != nil {
		return err
	}
	x.s.sweep.RLock()
	defer x.s.sweep.RUnlock()
	rec := &file{node: top.cid, path: path, size: x.size, modTime: st.ModTime(), digest: digest, added: added, hashed: st}
	if err := x.s.enter(ctx, rec); err != nil {
		return diskError(err)
	}
	return nil
}
