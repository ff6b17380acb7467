package artifacts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"apocryph/proto/status"
)

// maxOwnersShown bounds the owners that one refusal names.
const maxOwnersShown = 8

// busyRetry is how long a client is told to wait for another's upload.
const busyRetry = 2 * time.Second

// Create makes the record of an artifact without bytes. An empty content type
// is application/octet-stream. Faults of the texts are invalid_argument
// "artifact.invalid", all at once; a namespace with its number of artifacts is
// resource_exhausted "artifact.too_many".
func (s *Store) Create(ctx context.Context, ns, name, contentType, by string, labels map[string]string) (Artifact, error) {
	a, err := checked(ns, name, contentType, by, labels)
	if err != nil {
		return Artifact{}, err
	}
	a.ID, a.Created = newID(), s.now()
	if err := s.place(ns, 1); err != nil {
		return Artifact{}, err
	}
	if err := s.cfg.Records.SaveArtifact(ctx, a); err != nil {
		s.unplace(ns)
		return Artifact{}, fmt.Errorf("storing an artifact: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[a.ID] = &entry{art: a, touched: a.Created, holds: map[string]struct{}{}}
	return clone(a), nil
}

// place takes a place for a record that is not stored yet.
func (s *Store) place(ns string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return closed()
	}
	total := 0
	for _, count := range s.perNamespace {
		total += count
	}
	limit, have := s.cfg.MaxPerNamespace, s.perNamespace[ns]
	if total+n > maxArtifacts {
		limit, have = maxArtifacts, total
	}
	if have+n > limit {
		return status.New(status.ResourceExhausted, "artifact.too_many", "there may be %d artifacts, and there are %d", limit, have).
			WithHint("delete artifacts that no app needs")
	}
	s.perNamespace[ns] += n
	return nil
}

func (s *Store) unplace(ns string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perNamespace[ns]--; s.perNamespace[ns] == 0 {
		delete(s.perNamespace, ns)
	}
}

// Get returns one artifact. One that is not there and one of another namespace
// are the same not_found "artifact.unknown", here as in all other calls.
func (s *Store) Get(_ context.Context, ns, id string) (Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ns, id)
	if err != nil {
		return Artifact{}, err
	}
	return clone(e.art), nil
}

// List returns the artifacts of a namespace, oldest first.
func (s *Store) List(_ context.Context, ns string) ([]Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil, closed()
	}
	list := []Artifact{}
	for _, e := range s.entries {
		if !e.gone && (ns == AnyNamespace || ns == e.art.Namespace) {
			list = append(list, clone(e.art))
		}
	}
	slices.SortFunc(list, func(a, b Artifact) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// Hold says that an owner, a revision for instance, uses a complete artifact:
// it is not deleted before each owner's [Store.Release]. Holds are not stored,
// the caller gives them again after a start. To hold twice is to hold once.
func (s *Store) Hold(ns, id, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ns, id)
	if err != nil {
		return err
	}
	if !e.art.Complete {
		return notUploaded(e)
	}
	if e.busy {
		return busy()
	}
	e.holds[owner] = struct{}{}
	return nil
}

// Release ends a hold; one that is not there is no error.
func (s *Store) Release(id, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		delete(e.holds, owner)
	}
}

// Delete removes an artifact and its bytes. One in use is conflict
// "artifact.in_use", one that is being uploaded "artifact.busy". Those who have
// it open read on; its bytes leave the disk with the last of them.
func (s *Store) Delete(ctx context.Context, ns, id string) error {
	s.mu.Lock()
	e, err := s.find(ns, id)
	switch {
	case err != nil:
	case e.busy:
		err = busy()
	case len(e.holds) > 0:
		err = inUse(e)
	default:
		e.busy = true
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.drop(ctx, e)
}

// drop removes an entry that the caller has made busy: first the record, so
// that after a crash there are at most files without one.
func (s *Store) drop(ctx context.Context, e *entry) error {
	if err := s.cfg.Records.DeleteArtifact(context.WithoutCancel(ctx), e.art.ID); err != nil {
		s.mu.Lock()
		e.busy = false
		s.mu.Unlock()
		return fmt.Errorf("deleting an artifact: %w", err)
	}
	s.mu.Lock()
	e.gone = true
	last := e.readers == 0
	s.mu.Unlock()
	if last {
		return s.erase(e)
	}
	return nil
}

// erase removes the files of an artifact that is gone. What cannot be removed
// stays in the budget and goes at the next start.
func (s *Store) erase(e *entry) error {
	s.mu.Lock()
	delete(s.entries, e.art.ID)
	s.mu.Unlock()
	s.unplace(e.art.Namespace)
	err := s.disk.remove(e.art.ID)
	if err == nil {
		err = s.disk.syncDir(".")
	}
	if err != nil {
		s.log.Warn("bytes of a deleted artifact stay until the next start", "artifact", e.art.ID, "error", err)
		return nil
	}
	s.give(e.offset)
	return nil
}

// find is called with the lock held.
func (s *Store) find(ns, id string) (*entry, error) {
	if !s.open {
		return nil, closed()
	}
	e := s.entries[id]
	if e == nil || e.gone || ns != AnyNamespace && ns != e.art.Namespace {
		return nil, status.New(status.NotFound, "artifact.unknown", "there is no artifact %s", quoted(id))
	}
	return e, nil
}

// clone keeps callers away from the store's own maps.
func clone(a Artifact) Artifact {
	a.Labels = maps.Clone(a.Labels)
	return a
}

func closed() error {
	return status.New(status.Unavailable, "artifact.closed", "the store of artifacts is starting or has stopped").WithRetryAfter(busyRetry)
}

func busy() error {
	return status.New(status.Conflict, "artifact.busy", "another call changes this artifact now").WithRetryAfter(busyRetry)
}

func notUploaded(e *entry) error {
	return status.New(status.Conflict, "artifact.not_uploaded", "the artifact has %d bytes and is not complete", e.offset).
		WithHint("upload its content first")
}

func inUse(e *entry) error {
	owners := slices.Sorted(maps.Keys(e.holds))
	more := ""
	if n := len(owners) - maxOwnersShown; n > 0 {
		owners, more = owners[:maxOwnersShown], fmt.Sprintf(" and %d more", n)
	}
	return status.New(status.Conflict, "artifact.in_use", "the artifact is in use by %s%s", strings.Join(owners, ", "), more).
		WithHint("delete what uses it first")
}
