package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"

	"apocryph/proto/status"
)

// Begin starts an upload in parts of length bytes; -1 defers the length, and a
// later Begin gives it. To begin again with the same length changes nothing;
// another length is conflict "upload.length". A length of 0 completes the
// artifact.
func (s *Store) Begin(ctx context.Context, ns, id string, length int64) error {
	switch {
	case length < -1:
		return status.New(status.InvalidArgument, "upload.length", "a length of %d bytes", length)
	case length > s.cfg.MaxBytes:
		return tooLarge(s.cfg.MaxBytes)
	}
	c, err := s.claim(ns, id)
	if err != nil {
		return err
	}
	defer c.done()
	if !c.alone {
		return sameLength(length, c.e.art.Size)
	}
	if err := s.room(length - c.before); err != nil {
		return err
	}
	st := &state{id: rawID(id), length: -1, hash: saved(sha256.New())}
	if c.e.begun {
		if st, err = s.loadState(id); err != nil {
			return err
		}
		if st.length >= 0 || length == -1 {
			return sameLength(length, st.length)
		}
		if length < st.offset() {
			return status.New(status.Conflict, "upload.length", "a length of %d bytes, and %d bytes are here", length, st.offset())
		}
	} else if err := s.disk.mkdir(id); err != nil {
		return c.undo(err)
	}
	st.length = length
	if length == st.offset() {
		sum, err := s.resumed(id, st)
		if err != nil {
			return err
		}
		st.complete, st.hash = true, sum.Sum(nil)
	}
	return c.commit(ctx, st)
}

func sameLength(got, want int64) error {
	if got == -1 || got == want {
		return nil
	}
	return status.New(status.Conflict, "upload.length", "a length of %d bytes, but the upload was begun with %d", got, want)
}

// room refuses early what would not fit. It reserves nothing: bytes count when
// they are here, or a stranger could fill the store with promises.
func (s *Store) room(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used > s.cfg.MaxTotal-max(n, 0) {
		return s.full()
	}
	return nil
}

// Offset returns how many bytes are safely here and how many there will be, -1
// while that is deferred. Without a [Store.Begin] it is conflict
// "upload.not_begun".
func (s *Store) Offset(_ context.Context, ns, id string) (offset, length int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.find(ns, id)
	if err != nil {
		return 0, 0, err
	}
	if !e.begun && !e.art.Complete {
		return 0, 0, notBegun()
	}
	return e.offset, e.length, nil
}

// Append adds the content that starts at offset, and returns the offset after
// it. It completes the artifact when its length is reached. An offset that is
// not [Store.Offset]'s is conflict "upload.offset".
//
// When the reader fails, what it gave is kept, and the error is canceled
// "upload.interrupted" beside the new offset. want may have digests of this
// part, as for [Store.Upload]; a part with digests is kept whole or not at all.
// A part longer than the rest is invalid_argument "upload.length", and nothing
// of it is kept, as with errors of the disk.
func (s *Store) Append(ctx context.Context, ns, id string, offset int64, r io.Reader, want map[string][]byte) (int64, error) {
	exp, err := Expect(want)
	if err != nil {
		return 0, err
	}
	c, err := s.claim(ns, id)
	if err != nil {
		return 0, err
	}
	defer c.done()
	switch {
	case c.alone && !c.e.begun:
		return 0, notBegun()
	case offset != c.e.offset:
		return c.e.offset, status.New(status.Conflict, "upload.offset", "the part starts at %d, and %d bytes are here", offset, c.e.offset).
			WithHint("ask for the offset and go on from there")
	case !c.alone:
		return offset, c.nothing(r)
	}
	st, err := s.loadState(id)
	if err != nil {
		return offset, err
	}
	if st.complete {
		// Its record could not be stored the last time.
		return offset, errors.Join(c.nothing(r), c.complete(ctx, st))
	}
	if err := c.part(ctx, st, r, exp); err != nil {
		return c.e.offset, err
	}
	return c.e.offset, nil
}

// part reads one part into a segment of its own.
func (c *claim) part(ctx context.Context, st *state, r io.Reader, exp *Expectation) error {
	s, id := c.s, c.e.art.ID
	if len(st.segments) >= maxSegments {
		return status.New(status.ResourceExhausted, "upload.segments", "the upload has %d parts, and may have no more", len(st.segments)).
			WithHint("begin another upload, with larger parts")
	}
	sum, err := s.resumed(id, st)
	if err != nil {
		return err
	}
	limit := s.cfg.MaxBytes
	if st.length >= 0 {
		limit = st.length
	}
	w, err := s.newSegment(id, st.offset())
	if err != nil {
		return c.undo(err)
	}
	out := s.pump(ctx, r, limit-st.offset(), w, c.grow, append(exp.Hashes(), sum)...)
	switch {
	case out.write != nil:
		err = out.write
	case errors.Is(out.read, errTooLong) && st.length >= 0:
		err = status.New(status.InvalidArgument, "upload.length", "the part goes beyond the upload's %d bytes", st.length)
	case errors.Is(out.read, errTooLong):
		err = tooLarge(s.cfg.MaxBytes)
	case out.read != nil && (len(exp.want) > 0 || out.n == 0):
		err = interrupted(out.read, c.before)
	case out.read == nil:
		err = exp.Check()
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		w.close()
		return c.undo(err)
	}
	if out.n > 0 {
		st.segments = append(st.segments, w.segment)
	}
	if st.offset() == st.length {
		st.complete, st.hash = true, sum.Sum(nil)
	} else {
		st.hash = saved(sum)
	}
	if err := c.commit(ctx, st); err != nil || out.read == nil || st.complete {
		return err
	}
	return interrupted(out.read, st.offset())
}

// nothing checks that there is no content after the end.
func (c *claim) nothing(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	if n > 0 {
		return status.New(status.InvalidArgument, "upload.length", "the part goes beyond the artifact's %d bytes", c.e.offset)
	}
	if !errors.Is(err, io.EOF) {
		return interrupted(err, c.e.offset)
	}
	return nil
}

// saved is the state of a hash, so that it goes on after a restart.
func saved(h hash.Hash) []byte {
	b, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil // then the content is hashed again
	}
	return b
}

// resumed is the hash of the content so far: the saved one, or, where another
// version saved it in another form, the content's, read again.
func (s *Store) resumed(id string, st *state) (hash.Hash, error) {
	sum := sha256.New()
	if sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(st.hash) == nil {
		return sum, nil
	}
	sum.Reset()
	c := s.newContent(id, st)
	defer c.closeParts()
	if _, err := io.Copy(sum, io.NewSectionReader(c, 0, st.offset())); err != nil {
		return nil, fmt.Errorf("hashing artifact %s again: %w", id, err)
	}
	return sum, nil
}

func notBegun() error {
	return status.New(status.Conflict, "upload.not_begun", "no upload in parts was begun for this artifact").
		WithHint("begin one with its length")
}
