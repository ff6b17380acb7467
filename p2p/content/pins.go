package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
)

// pinRecord is the durable form of what one owner keeps, Dir/pins/SHA256(owner).json.
type pinRecord struct {
	Owner string   `json:"owner"`
	Roots []string `json:"roots"`
}

func pinName(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return "pins/" + hex.EncodeToString(sum[:]) + recordExt
}

func (s *Store) loadPins(context.Context) error {
	recs, err := readRecords[pinRecord](s.path("pins"))
	if err != nil {
		return err
	}
	for name, r := range recs {
		set := make(map[cid.Cid]struct{}, len(r.Roots))
		for _, root := range r.Roots {
			c, err := cid.Decode(root)
			if err != nil {
				// Going on would let GC remove what this owner keeps.
				return fmt.Errorf("reading pin %s: %w", name, err)
			}
			set[c] = struct{}{}
		}
		s.pins[r.Owner] = set
	}
	return nil
}

// Pin keeps all that is below root, durably, until owner gives it up with
// [Store.Unpin]. An owner may pin many roots and a root may have many owners.
// The root need not be here yet: pinned before a fetch, what arrived of it
// survives a crash.
func (s *Store) Pin(_ context.Context, root cid.Cid, owner string) error {
	if owner == "" {
		return status.New(status.InvalidArgument, "content.owner", "a pin needs an owner")
	}
	if err := checkLink(root); err != nil {
		return status.Wrap(err, status.InvalidArgument, "content.cid", "root %s cannot be kept here", root)
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed()
	}
	if _, ok := s.pins[owner][root]; ok {
		return nil
	}
	set := map[cid.Cid]struct{}{root: {}}
	for c := range s.pins[owner] {
		set[c] = struct{}{}
	}
	rec := pinRecord{Owner: owner}
	for c := range set {
		rec.Roots = append(rec.Roots, c.String())
	}
	slices.Sort(rec.Roots)
	if err := writeRecord(s.path(pinName(owner)), rec); err != nil {
		return diskError(err)
	}
	s.pins[owner] = set
	return nil
}

// Unpin gives up all that owner pinned. An unknown owner is no error.
func (s *Store) Unpin(ctx context.Context, owner string) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	roots, ok := s.pins[owner]
	if !ok {
		s.mu.Unlock()
		return nil
	}
	if err := removeRecord(s.path(pinName(owner))); err != nil {
		s.mu.Unlock()
		return diskError(err)
	}
	delete(s.pins, owner)
	s.mu.Unlock()
	return s.age(ctx, roots)
}

// age takes the grace of what is new from all below the roots: what an owner
// gave up is not waiting for one. Other pins keep what they share with it.
func (s *Store) age(ctx context.Context, roots map[cid.Cid]struct{}) error {
	below := map[key]bool{}
	for root := range roots {
		if err := s.markBelow(ctx, root, below); err != nil {
			return fmt.Errorf("looking below %s: %w", root, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range below {
		delete(s.fresh, k)
		s.aged[k] = struct{}{}
	}
	return nil
}

// Owners returns the owners of pins, sorted.
func (s *Store) Owners() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.pins))
	for o := range s.pins {
		out = append(out, o)
	}
	slices.Sort(out)
	return out
}

// lease keeps all that is below c from GC until release is called.
func (s *Store) lease(c cid.Cid) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaseLocked(c)
}

// leaseLocked is lease for who holds s.mu.
func (s *Store) leaseLocked(c cid.Cid) (release func()) {
	s.leases[c]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.leases[c]--; s.leases[c] == 0 {
			delete(s.leases, c)
		}
	}
}
