package artifacts

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"apocryph/proto/status"
)

// claim is one call that brings content for an artifact.
type claim struct {
	s *Store
	e *entry
	// alone says that the artifact was incomplete, and no other call may change it.
	alone bool
	// before is the entry's offset when the call began, taken the bytes that the
	// call has in the budget.
	before, taken int64
}

// claim finds the artifact and takes one of the places for uploads. The claim
// has to be given back by done.
func (s *Store) claim(ns, id string) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ns, id)
	if err != nil {
		return nil, err
	}
	if e.busy {
		return nil, busy()
	}
	owner := e.art.Namespace
	if s.running >= s.cfg.MaxUploads || s.uploads[owner] >= max(1, s.cfg.MaxUploads/namespaceShare) {
		return nil, status.New(status.ResourceExhausted, "upload.too_many", "%d uploads are running, %d of them of this namespace", s.running, s.uploads[owner]).
			WithRetryAfter(busyRetry)
	}
	s.running++
	s.uploads[owner]++
	e.busy = !e.art.Complete
	return &claim{s: s, e: e, alone: e.busy, before: e.offset}, nil
}

// done squares the budget: what counts is the offset that the entry has now.
func (c *claim) done() {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	owner := c.e.art.Namespace
	if s.uploads[owner]--; s.uploads[owner] == 0 {
		delete(s.uploads, owner)
	}
	if c.alone {
		s.used += c.e.offset - c.before - c.taken
		c.e.busy = false
	}
}

// grow takes bytes from the budget of the whole store before they are written.
func (c *claim) grow(n int64) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used > s.cfg.MaxTotal-n {
		return s.full()
	}
	s.used += n
	c.taken += n
	return nil
}

// full is called with the lock held.
func (s *Store) full() error {
	return status.New(status.ResourceExhausted, "artifact.store_full", "all artifacts together may have %d bytes, and have %d", s.cfg.MaxTotal, s.used).
		WithHint("delete artifacts that no app needs")
}

// commit makes a state the truth about an artifact, and the record complete
// when the state is.
func (c *claim) commit(ctx context.Context, st *state) error {
	if err := c.s.saveState(c.e.art.ID, st); err != nil {
		return c.undo(err)
	}
	c.set(st)
	if err := c.s.tidy(c.e.art.ID, st); err != nil {
		// A later start tidies again; the state is stored and counts.
		c.s.log.Warn("files of an earlier upload stay until the next start", "artifact", c.e.art.ID, "error", err)
	}
	if st.complete {
		return c.complete(ctx, st)
	}
	return nil
}

// complete stores the record. When that fails, the bytes stay, and the next
// call or the next start tries again.
func (c *claim) complete(ctx context.Context, st *state) error {
	a := c.e.art
	a.Size, a.SHA256, a.Complete, a.Completed = st.length, hex.EncodeToString(st.hash), true, c.s.now()
	if err := c.s.cfg.Records.SaveArtifact(context.WithoutCancel(ctx), a); err != nil {
		return fmt.Errorf("storing an artifact: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.e.art = a
	return nil
}

// undo brings entry and files back to the state on the disk, which may be the
// old or the new one, and returns the reason for it.
func (c *claim) undo(reason error) error {
	id := c.e.art.ID
	st, err := c.s.loadState(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.set(nil)
		err = c.s.disk.remove(id)
	case err == nil:
		c.set(st)
		err = c.s.tidy(id, st)
	}
	if err != nil {
		c.s.log.Warn("files of a failed upload stay until the next start", "artifact", id, "error", err)
	}
	return classed(reason)
}

func (c *claim) set(st *state) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if st == nil {
		c.e.begun, c.e.offset, c.e.length = false, 0, 0
		return
	}
	c.e.begun, c.e.offset, c.e.length, c.e.touched = true, st.offset(), st.length, st.touched
}
