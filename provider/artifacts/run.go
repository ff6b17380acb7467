package artifacts

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"
)

const (
	// markName is a file that tells a store from any other directory, and its
	// identity from any other.
	markName = "store.age"
	markText = "apocryph artifact store 1\n"
	// sweepEvery is at most the time between two looks for stale uploads.
	sweepEvery = 10 * time.Minute
)

// Run loads the records, completes or removes what a crash left over, and
// removes stale uploads until the context ends. It is called once. Calls that
// come before [Store.Ready], or after Run has returned, are refused.
func (s *Store) Run(ctx context.Context) error {
	defer s.shut()
	if err := s.mark(); err != nil {
		return fmt.Errorf("opening the artifact store: %w", err)
	}
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("loading artifacts: %w", err)
	}
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	close(s.ready)
	tick := time.NewTicker(min(sweepEvery, s.cfg.StaleAfter/4+1))
	defer tick.Stop()
	for {
		s.sweepStale(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// shut refuses further calls. The directory stays open for calls that run.
func (s *Store) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
}

// mark checks that the directory is a store of this identity, so that a wrong
// one is noticed before anything is taken for damaged and removed.
func (s *Store) mark() error {
	text, err := s.unseal(markName, len(markText))
	switch noMatch := (*age.NoIdentityMatchError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		names, err := s.disk.names(".")
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(names, func(n string) bool { return n != markName+tempSuffix }); i >= 0 {
			return fmt.Errorf("the directory has %s, but no %s: it is not a store of artifacts", quoted(names[i]), markName)
		}
		return s.seal(".", markName, []byte(markText))
	case errors.As(err, &noMatch):
		return errors.New("the store was made with another identity: give that one, or remove the store's directory")
	case err != nil:
		return fmt.Errorf("reading %s: %w", markName, err)
	case !bytes.Equal(text, []byte(markText)):
		return fmt.Errorf("%s is not of this version", markName)
	}
	return nil
}

func (s *Store) load(ctx context.Context) error {
	records, err := s.cfg.Records.Artifacts(ctx)
	if err != nil {
		return err
	}
	for _, a := range records {
		if !isID(a.ID) {
			return fmt.Errorf("the record %s has no UUID", quoted(a.ID))
		}
		if err := s.adopt(ctx, a); err != nil {
			return err
		}
	}
	names, err := s.disk.names(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, known := s.entries[name]; !known && isID(name) {
			if err := s.disk.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// adopt brings a record and its directory together.
func (s *Store) adopt(ctx context.Context, a Artifact) error {
	e := &entry{art: a, touched: a.Created, holds: map[string]struct{}{}}
	st, err := s.loadState(a.ID)
	if err == nil {
		err = s.present(a.ID, st)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && st == nil && !a.Complete:
		// Segments without a state were never acknowledged.
		if err := s.disk.remove(a.ID); err != nil {
			return err
		}
	case err != nil && a.Complete:
		// Nothing is removed that was acknowledged: Open says what is wrong.
		s.log.Warn("an artifact cannot be read", "artifact", a.ID, "error", err)
	case err != nil:
		s.log.Warn("an upload cannot be resumed and starts again", "artifact", a.ID, "error", err)
		if err := s.disk.remove(a.ID); err != nil {
			return err
		}
	default:
		e.begun, e.offset, e.length, e.touched = true, st.offset(), st.length, st.touched
		if st.complete && !a.Complete {
			e.art.Size, e.art.SHA256, e.art.Complete, e.art.Completed = st.length, hex.EncodeToString(st.hash), true, s.now()
			if err := s.cfg.Records.SaveArtifact(ctx, e.art); err != nil {
				return err
			}
		}
		if err := s.tidy(a.ID, st); err != nil {
			return err
		}
	}
	if e.art.Complete {
		e.offset, e.length = e.art.Size, e.art.Size
	}
	s.entries[a.ID] = e
	s.perNamespace[a.Namespace]++
	s.used += e.offset
	return nil
}

// present checks that each segment of a state has its file, before anything is
// built upon them.
func (s *Store) present(id string, st *state) error {
	for _, g := range st.segments {
		if _, err := s.disk.root.Lstat(id + "/" + g.name()); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes all files of an artifact that its state does not name.
func (s *Store) tidy(id string, st *state) error {
	names, err := s.disk.names(id)
	if err != nil {
		return err
	}
	keep := map[string]bool{stateName: true}
	for _, g := range st.segments {
		keep[g.name()] = true
	}
	for _, name := range names {
		if !keep[name] {
			if err := s.disk.remove(id + "/" + name); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepStale removes artifacts that nobody completes.
func (s *Store) sweepStale(ctx context.Context) {
	deadline := s.now().Add(-s.cfg.StaleAfter)
	s.mu.Lock()
	var stale []*entry
	for _, e := range s.entries {
		if !e.art.Complete && !e.busy && e.touched.Before(deadline) {
			e.busy = true
			stale = append(stale, e)
		}
	}
	s.mu.Unlock()
	for _, e := range stale {
		if err := s.drop(ctx, e); err != nil {
			s.log.Warn("a stale upload is not removed", "artifact", e.art.ID, "error", err)
			continue
		}
		s.log.Info("a stale upload is removed", "artifact", e.art.ID)
	}
}
