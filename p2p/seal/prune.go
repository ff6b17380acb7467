package seal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"apocryph/proto/status"
)

// grace is how long after its last use a blob is kept in any case: a deploy may
// be between sealing and being remembered.
const grace = time.Hour

// Prune removes encrypted layers that keep does not name by digest, the longest
// unused first, until those left take at most maxUnused bytes. It returns the
// bytes freed. While an image is being sealed it does nothing and returns a conflict.
func (s *Sealer) Prune(ctx context.Context, keep func(digest string) bool, maxUnused int64) (int64, error) {
	if s.cfg.Cache == nil {
		return 0, nil
	}
	release, ok, err := s.cfg.Guard.Exclusive()
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, status.New(status.Conflict, "seal.busy", "an image is being sealed in %s", s.cfg.Dir)
	}
	defer release()
	type unused struct {
		key string
		entry
	}
	var (
		old  []unused
		drop = make(map[string]bool)
	)
	now := s.cfg.Now()
	err = s.cfg.Cache.Sweep(func(key string, value []byte) bool {
		e, ok := parseEntry(value)
		if !ok {
			drop[key] = true
		} else if !keep(e.Digest) {
			old = append(old, unused{key, e})
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(old, func(a, b unused) int { return b.Used.Compare(a.Used) })
	var left, freed int64
	for _, u := range old {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		if now.Sub(u.Used) < grace || left+u.Size <= maxUnused {
			left += u.Size
			continue
		}
		switch err := os.Remove(s.cfg.BlobPath(u.Digest)); {
		case err == nil:
			freed += u.Size
		case !errors.Is(err, fs.ErrNotExist):
			return freed, s.diskError(err)
		}
		drop[u.key] = true
	}
	return freed, s.cfg.Cache.Sweep(func(key string, _ []byte) bool { return !drop[key] })
}
