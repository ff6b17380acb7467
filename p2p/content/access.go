package content

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// access says which peer may read which root. Without an entry nobody may.
type access struct {
	s *Store

	mu    sync.RWMutex
	roots map[cid.Cid]*rootAccess
}

type rootAccess struct {
	public bool
	peers  map[peer.ID]struct{}

	build   sync.Mutex
	members members
}

// grantRecord is the durable form, Dir/grants/ROOT.json.
type grantRecord struct {
	Public bool     `json:"public,omitempty"`
	Peers  []string `json:"peers,omitempty"`
}

func newAccess(s *Store) *access { return &access{s: s, roots: map[cid.Cid]*rootAccess{}} }

func (s *Store) loadGrants(context.Context) error {
	recs, err := readRecords[grantRecord](s.path("grants"))
	if err != nil {
		return err
	}
	for name, r := range recs {
		root, err := cid.Decode(name)
		if err != nil {
			return fmt.Errorf("reading grant %s: %w", name, err)
		}
		ra := &rootAccess{public: r.Public, peers: map[peer.ID]struct{}{}}
		for _, p := range r.Peers {
			id, err := peer.Decode(p)
			if err != nil {
				return fmt.Errorf("reading grant %s: %w", name, err)
			}
			ra.peers[id] = struct{}{}
		}
		s.access.roots[root] = ra
	}
	return nil
}

// Grant lets a peer read everything below root, durably, over all protocols.
// All inner nodes below root must be here: not_found otherwise.
func (s *Store) Grant(root cid.Cid, p peer.ID) error {
	if err := p.Validate(); err != nil {
		return status.Wrap(err, status.InvalidArgument, "content.peer", "a grant needs a peer id")
	}
	return s.access.change(root, func(r *rootAccess) { r.peers[p] = struct{}{} })
}

// Revoke takes a grant back. What is being sent when it is called may still
// arrive. An unknown root or peer is no error.
func (s *Store) Revoke(root cid.Cid, p peer.ID) error {
	return s.access.change(root, func(r *rootAccess) { delete(r.peers, p) })
}

// SetPublic lets every peer read everything below root, or no longer does so.
func (s *Store) SetPublic(root cid.Cid, public bool) error {
	return s.access.change(root, func(r *rootAccess) { r.public = public })
}

// Public returns the roots that everybody may read.
func (s *Store) Public() []cid.Cid {
	s.access.mu.RLock()
	defer s.access.mu.RUnlock()
	var out []cid.Cid
	for c, r := range s.access.roots {
		if r.public {
			out = append(out, c)
		}
	}
	return out
}

// change edits a copy of root's entry, makes it durable, then puts it in force.
func (a *access) change(root cid.Cid, edit func(*rootAccess)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := &rootAccess{peers: map[peer.ID]struct{}{}}
	if old, ok := a.roots[root]; ok {
		next.public = old.public
		for p := range old.peers {
			next.peers[p] = struct{}{}
		}
		old.build.Lock()
		next.members = old.members
		old.build.Unlock()
	}
	edit(next)
	path := a.s.path("grants/" + root.String() + recordExt)
	if !next.public && len(next.peers) == 0 {
		if _, ok := a.roots[root]; !ok {
			return nil
		}
		// In force first: a record that cannot be removed must not keep a door open.
		delete(a.roots, root)
		return diskError(removeRecord(path))
	}
	if err := checkLink(root); err != nil {
		return status.Wrap(err, status.InvalidArgument, "content.cid", "root %s cannot be served", root)
	}
	if _, err := next.set(a.s, root); err != nil {
		return err
	}
	rec := grantRecord{Public: next.public}
	for p := range next.peers {
		rec.Peers = append(rec.Peers, p.String())
	}
	slices.Sort(rec.Peers)
	if err := writeRecord(path, rec); err != nil {
		return diskError(err)
	}
	a.roots[root] = next
	return nil
}

// set returns the blocks below root, built when they are first needed.
func (r *rootAccess) set(s *Store, root cid.Cid) (members, error) {
	r.build.Lock()
	defer r.build.Unlock()
	if r.members != nil {
		return r.members, nil
	}
	m, err := s.membersOf(context.Background(), root)
	if err == nil {
		r.members = m
	}
	return m, err
}

func (r *rootAccess) admits(p peer.ID) bool {
	_, ok := r.peers[p]
	return ok || r.public
}

// below reports whether p may read root and c is below it.
func (a *access) below(p peer.ID, root, c cid.Cid) bool {
	k, ok := keyOf(c)
	if !ok {
		return false
	}
	a.mu.RLock()
	r, ok := a.roots[root]
	ok = ok && r.admits(p)
	a.mu.RUnlock()
	if !ok {
		return false
	}
	m, err := r.set(a.s, root)
	return err == nil && m.has(k)
}

// block reports whether p may read c because it is below any root that p may
// read. It is bitswap's and the gateway's question.
func (a *access) block(p peer.ID, c cid.Cid) bool {
	k, ok := keyOf(c)
	if !ok {
		return false
	}
	type candidate struct {
		root cid.Cid
		r    *rootAccess
	}
	var open []candidate
	a.mu.RLock()
	for root, r := range a.roots {
		if r.admits(p) {
			open = append(open, candidate{root, r})
		}
	}
	a.mu.RUnlock()
	for _, o := range open {
		if m, err := o.r.set(a.s, o.root); err == nil && m.has(k) {
			return true
		}
	}
	return false
}

// forget drops roots that GC removed.
func (a *access) forget(gone func(cid.Cid) bool) error {
	a.mu.RLock()
	var roots []cid.Cid
	for c := range a.roots {
		if gone(c) {
			roots = append(roots, c)
		}
	}
	a.mu.RUnlock()
	for _, c := range roots {
		err := a.change(c, func(r *rootAccess) { r.public, r.peers = false, nil })
		if err != nil {
			return err
		}
	}
	return nil
}
