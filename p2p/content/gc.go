package content

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

const (
	// freshFor is how long what was added or fetched is safe without a pin.
	freshFor = time.Hour
	// refreshTime is how old the time may be that a file's record has of its last
	// adding: writing each one down would cost a deploy two waits for the disk.
	refreshTime = 10 * time.Minute
	// partialFor is how long an unfinished blob waits to be resumed.
	partialFor = 24 * time.Hour
)

// GC removes the inner nodes and blobs that no pin, no running fetch, no open
// blob and nothing added within the hour needs, and returns the bytes freed.
// Adding and fetching wait for it; serving does not.
func (s *Store) GC(ctx context.Context) (int64, error) {
	s.sweep.Lock()
	defer s.sweep.Unlock()
	live, err := s.mark(ctx)
	if err != nil {
		return 0, err
	}
	freed, err := s.sweepFiles(ctx, live)
	if err != nil {
		return freed, err
	}
	n, err := s.sweepBlocks(ctx, live)
	freed += n
	if err != nil {
		return freed, err
	}
	return freed, s.access.forget(func(c cid.Cid) bool {
		k, ok := keyOf(c)
		_, kept := live[k]
		return !ok || !kept
	})
}

// mark returns the hashes of all that stays, true where they were walked. Content that is not complete is
// kept as far as it is here.
func (s *Store) mark(ctx context.Context) (map[key]bool, error) {
	var tops []cid.Cid
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed()
	}
	for _, set := range s.pins {
		for c := range set {
			tops = append(tops, c)
		}
	}
	for c := range s.leases {
		tops = append(tops, c)
	}
	for _, f := range s.fetches {
		tops = append(tops, f.req.CID)
	}
	now := s.now()
	for k, at := range s.fresh {
		if now.Sub(at) > freshFor {
			delete(s.fresh, k)
			continue
		}
		h := append([]byte{0x12, 32}, k[:]...)
		tops = append(tops, cid.NewCidV1(cid.DagProtobuf, h))
	}
	aged := s.aged
	s.aged = map[key]struct{}{}
	s.mu.Unlock()
	s.files.mu.RLock()
	for _, f := range s.files.byCID {
		k, _ := keyOf(f.node)
		if _, old := aged[k]; !old && now.Sub(f.added) <= freshFor+refreshTime {
			tops = append(tops, f.node)
		}
	}
	s.files.mu.RUnlock()

	live := map[key]bool{}
	for _, top := range tops {
		if err := s.markBelow(ctx, top, live); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// markBelow is a walk that goes on where nodes are missing. A node whose codec
// is not known, because only its hash was noted, is tried as an inner node.
func (s *Store) markBelow(ctx context.Context, top cid.Cid, live map[key]bool) error {
	stack := []cid.Cid{top}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		k, ok := keyOf(c)
		if !ok {
			continue
		}
		// A hash that was met as a leaf is walked still when it is met as a node:
		// a stranger could link another's node as a leaf to have it cut off.
		if walked, again := live[k]; walked || again && isLeaf(c) {
			continue
		}
		live[k] = !isLeaf(c)
		if isLeaf(c) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := s.blocks.Get(ctx, c)
		if format.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		in, err := parseInner(b.RawData())
		if err != nil {
			continue // a raw leaf, or a node that nothing here can use
		}
		for _, c := range in.children {
			stack = append(stack, c.cid)
		}
	}
	return nil
}

// sweepFiles drops records of files that nobody needs, and removes those of
// them that are below Dir/blobs, with all else there that is not known.
func (s *Store) sweepFiles(ctx context.Context, live map[key]bool) (int64, error) {
	s.files.mu.RLock()
	var dead []*file
	keep := map[string]bool{}
	for c, f := range s.files.byCID {
		k, _ := keyOf(c)
		if _, ok := live[k]; ok {
			keep[f.path] = true
		} else {
			dead = append(dead, f)
		}
	}
	s.files.mu.RUnlock()
	s.mu.Lock()
	for digest := range s.fetches {
		keep[s.BlobPath(digest)] = true
		keep[s.BlobPath(digest)+partialExt] = true
	}
	s.mu.Unlock()

	var freed int64
	remove := func(path string, size int64) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return diskError(err)
		}
		freed += size
		return nil
	}
	blobs := s.cfg.Roots[0] + string(os.PathSeparator)
	for _, f := range dead {
		s.drop(ctx, f, nil)
		if strings.HasPrefix(f.path, blobs) && !keep[f.path] {
			if err := remove(f.path, f.size); err != nil {
				return freed, err
			}
		}
	}
	es, err := os.ReadDir(s.path("blobs/sha256"))
	if err != nil {
		return freed, diskError(err)
	}
	now := s.now()
	for _, e := range es {
		path := s.path("blobs/sha256/" + e.Name())
		st, err := e.Info()
		if err != nil || keep[path] || !st.Mode().IsRegular() {
			continue
		}
		wait := freshFor
		if strings.HasSuffix(path, partialExt) {
			wait = partialFor
		}
		if now.Sub(st.ModTime()) <= wait {
			continue
		}
		if err := remove(path, st.Size()); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func (s *Store) sweepBlocks(ctx context.Context, live map[key]bool) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing when a removal fails
	all, err := s.blocks.AllKeysChan(ctx)
	if err != nil {
		return 0, diskError(err)
	}
	var freed int64
	for c := range all {
		k, ok := keyOf(c)
		if _, kept := live[k]; ok && kept {
			continue
		}
		n, err := s.blocks.GetSize(ctx, c)
		if err == nil {
			err = s.blocks.DeleteBlock(ctx, c)
		}
		if err != nil && !format.IsNotFound(err) {
			return freed, diskError(err)
		}
		freed += int64(max(n, 0))
	}
	return freed, ctx.Err()
}
