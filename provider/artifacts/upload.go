package artifacts

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	"apocryph/proto/status"
)

// Upload reads the whole content of an artifact. Where an upload in parts was
// begun, this content replaces it.
//
// An artifact that is complete already stays as it is: the same bytes are
// answered with it, others are conflict "artifact.differs". want may have
// digests of the content by the names [SHA256] and [SHA512]; another content is
// invalid_argument "artifact.digest". More than Config.MaxBytes is
// invalid_argument "artifact.too_large", a full disk or store
// resource_exhausted, a reader's error canceled "upload.interrupted" with the
// error as its cause, an upload beside another conflict "artifact.busy". Nothing
// of the content is kept in any of these cases.
func (s *Store) Upload(ctx context.Context, ns, id string, r io.Reader, want map[string][]byte) (Artifact, error) {
	exp, err := Expect(want)
	if err != nil {
		return Artifact{}, err
	}
	c, err := s.claim(ns, id)
	if err != nil {
		return Artifact{}, err
	}
	defer c.done()
	if !c.alone {
		return c.repeat(ctx, r, exp)
	}
	w, err := s.newSegment(id, 0)
	if err != nil {
		return Artifact{}, c.undo(err)
	}
	sum := exp.sha256()
	out := s.pump(ctx, r, s.cfg.MaxBytes, w, c.grow, exp.Hashes()...)
	switch {
	case out.write != nil:
		err = out.write
	case errors.Is(out.read, errTooLong):
		err = tooLarge(s.cfg.MaxBytes)
	case out.read != nil:
		err = interrupted(out.read, c.before)
	default:
		err = exp.Check()
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		w.close()
		return Artifact{}, c.undo(err)
	}
	st := &state{id: rawID(id), length: out.n, complete: true, hash: sum.Sum(nil)}
	if out.n > 0 {
		st.segments = []segment{w.segment}
	}
	if err := c.commit(ctx, st); err != nil {
		return Artifact{}, err
	}
	return clone(c.e.art), nil
}

// repeat compares content with that of a complete artifact.
func (c *claim) repeat(ctx context.Context, r io.Reader, exp *Expectation) (Artifact, error) {
	a := c.e.art
	sum := exp.sha256()
	free := func(int64) error { return nil }
	out := c.s.pump(ctx, r, a.Size, io.Discard, free, exp.Hashes()...)
	if out.read != nil && !errors.Is(out.read, errTooLong) {
		return Artifact{}, interrupted(out.read, a.Size)
	}
	if out.read == nil {
		if err := exp.Check(); err != nil {
			return Artifact{}, err
		}
		if hex.EncodeToString(sum.Sum(nil)) == a.SHA256 {
			return clone(a), nil
		}
	}
	return Artifact{}, status.New(status.Conflict, "artifact.differs", "the artifact is complete with other bytes, SHA-256 %s", a.SHA256).
		WithHint("create another artifact for them")
}
