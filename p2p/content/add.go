package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	format "github.com/ipfs/go-ipld-format"
	"golang.org/x/sync/errgroup"
)

// racyTime is how old a file's last change must be, when it is hashed, for its
// time to tell it from a later change.
const racyTime = 2 * time.Second

// addWindow is how many leaves are hashed at once.
const addWindow = 4

// AddFile adds a file that stays where it is, below Dir/blobs or one of
// Config.Roots. Only its inner nodes are written. A file that was added before
// and has not changed since is not read again. It is not_found when the file is
// gone and conflict when it changes meanwhile. Pin the result, or a directory
// with it, within the hour. report counts the bytes that were read; may be nil.
func (s *Store) AddFile(ctx context.Context, path string, report func(done int64)) (Node, error) {
	path, err := s.checkPath(path)
	if err != nil {
		return Node{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Node{}, fmt.Errorf("adding file: %w", err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return Node{}, fmt.Errorf("adding file: %w", err)
	}
	if !before.Mode().IsRegular() {
		return Node{}, status.New(status.InvalidArgument, "content.file", "%s is not a regular file", path)
	}
	if n, ok := s.known(ctx, path, before); ok {
		return n, nil
	}
	added := s.now()
	whole := sha256.New()
	top, inner, err := s.hashFile(ctx, f, before.Size(), whole, report)
	if err != nil {
		return Node{}, fmt.Errorf("adding file: %w", err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return Node{}, status.New(status.Conflict, "content.changed", "%s was changed while it was added", path)
	}
	if err := s.put(ctx, inner...); err != nil {
		return Node{}, err
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	rec := &file{
		node: top.cid, path: path, size: before.Size(), modTime: before.ModTime(),
		digest: "sha256:" + hex.EncodeToString(whole.Sum(nil)), added: added, hashed: before,
	}
	if err := s.enter(ctx, rec); err != nil {
		return Node{}, diskError(err)
	}
	return Node{CID: top.cid, Size: rec.size, Total: top.total, Digest: rec.digest}, nil
}

// checkPath returns the file's real path, which must be below an allowed root:
// a link that leads out would serve what nobody meant to add.
func (s *Store) checkPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", status.Wrap(err, status.NotFound, "content.file", "the file to add does not exist")
	}
	if err != nil {
		return "", fmt.Errorf("adding file: %w", err)
	}
	for _, root := range s.cfg.Roots {
		if real, err := filepath.EvalSymlinks(root); err == nil {
			root = real
		}
		if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
			return abs, nil
		}
	}
	return "", status.New(status.InvalidArgument, "content.path", "%s is outside of the directories that files may be added from", path)
}

// known returns the node of a file that is indexed and has not changed.
func (s *Store) known(ctx context.Context, path string, st os.FileInfo) (Node, bool) {
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	s.files.mu.RLock()
	f, ok := s.files.byPath[path]
	s.files.mu.RUnlock()
	if !ok || f.digest == "" || f.size != st.Size() || !f.modTime.Equal(st.ModTime()) || f.added.Sub(f.modTime) < racyTime {
		return Node{}, false
	}
	total, err := s.total(ctx, child{cid: f.node, size: f.size})
	if err != nil {
		return Node{}, false
	}
	if s.now().Sub(f.added) > refreshTime {
		again := *f
		again.added = s.now() // safe from GC from here on, as if it were new
		if err := s.enter(ctx, &again); err != nil {
			return Node{}, false
		}
	}
	return Node{CID: f.node, Size: f.size, Total: total, Digest: f.digest}, true
}

// total is the size of all blocks of a file's DAG.
func (s *Store) total(ctx context.Context, top child) (uint64, error) {
	if isLeaf(top.cid) {
		return uint64(top.size), nil
	}
	in, err := s.inner(ctx, top.cid)
	if err != nil {
		return 0, err
	}
	n := uint64(len(in.raw))
	for _, c := range in.children {
		n += c.total
	}
	return n, nil
}

// hashFile hashes leaves and the whole of r at once, addWindow leaves at a time.
func (s *Store) hashFile(ctx context.Context, r io.Reader, size int64, whole hash.Hash, report func(done int64)) (subtree, []blocks.Block, error) {
	leaves := make([]subtree, 0, size/ChunkSize+1)
	// A manifest is small, and each image has several such files.
	buf := make([]byte, min(size, addWindow*ChunkSize))
	for left := size; left > 0 || len(leaves) == 0; {
		if err := ctx.Err(); err != nil {
			return subtree{}, nil, err
		}
		window := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r, window); err != nil {
			return subtree{}, nil, err
		}
		left -= int64(len(window))
		var g errgroup.Group
		g.Go(func() error { _, err := whole.Write(window); return err })
		sums := make([]subtree, max(1, (len(window)+ChunkSize-1)/ChunkSize))
		g.Go(func() error {
			for i := range sums {
				b := window[i*ChunkSize : min(len(window), (i+1)*ChunkSize)]
				sums[i] = subtree{cid: leafCID(sha256.Sum256(b)), size: uint64(len(b)), total: uint64(len(b))}
			}
			return nil
		})
		if err := g.Wait(); err != nil {
			return subtree{}, nil, err
		}
		leaves = append(leaves, sums...)
		if report != nil {
			report(size - left)
		}
	}
	return layout(leaves)
}

// AddBytes adds a small file: its leaves are kept as blocks.
func (s *Store) AddBytes(ctx context.Context, b []byte) (Node, error) {
	whole := sha256.New()
	top, bs, err := s.hashFile(ctx, bytes.NewReader(b), int64(len(b)), whole, nil)
	if err != nil {
		return Node{}, fmt.Errorf("adding bytes: %w", err)
	}
	for off := 0; off == 0 || off < len(b); off += ChunkSize {
		leaf := slices.Clone(b[off:min(len(b), off+ChunkSize)])
		blk, err := blocks.NewBlockWithCid(leaf, leafCID(sha256.Sum256(leaf)))
		if err != nil {
			return Node{}, fmt.Errorf("adding bytes: %w", err)
		}
		bs = append(bs, blk)
	}
	if err := s.put(ctx, bs...); err != nil {
		return Node{}, fmt.Errorf("adding bytes: %w", err)
	}
	digest := "sha256:" + hex.EncodeToString(whole.Sum(nil))
	return Node{CID: top.cid, Size: int64(len(b)), Total: top.total, Digest: digest}, nil
}

// AddDirectory adds a directory. Entries may be directories. All names that
// cannot be used are refused at once.
func (s *Store) AddDirectory(ctx context.Context, entries []Entry) (Node, error) {
	var faults []status.Fault
	if len(entries) > maxEntries {
		faults = append(faults, status.Fault{Field: "entries", Got: fmt.Sprint(len(entries)), Want: fmt.Sprintf("at most %d", maxEntries)})
	}
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	node := unixfs.EmptyDirNode()
	if err := node.SetCidBuilder(dagPB); err != nil {
		return Node{}, err
	}
	var t subtree
	for i, e := range sorted {
		err := checkName(e.Name)
		if err == nil {
			err = checkLink(e.Node.CID)
		}
		if err == nil && i > 0 && sorted[i-1].Name == e.Name {
			err = errors.New("name is there twice")
		}
		if err != nil {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("entries[%.64q]", e.Name), Got: err.Error()})
			continue
		}
		t.total += e.Node.Total
		if err := node.AddRawLink(e.Name, &format.Link{Size: e.Node.Total, Cid: e.Node.CID}); err != nil {
			return Node{}, fmt.Errorf("adding directory: %w", err)
		}
	}
	if len(faults) > 0 {
		return Node{}, status.Invalid("content.directory", "directory", faults)
	}
	return s.putDirectory(ctx, node, t)
}

func (s *Store) putDirectory(ctx context.Context, node *merkledag.ProtoNode, t subtree) (Node, error) {
	t, b, err := finish(node, t)
	if err == nil {
		err = s.put(ctx, b)
	}
	if err != nil {
		return Node{}, fmt.Errorf("adding directory: %w", err)
	}
	return Node{CID: t.cid, Total: t.total, Dir: true}, nil
}
