package seal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"time"

	"apocryph/p2p/oci"
)

// entryVersion is the version of what is written to the cache.
const entryVersion = 1

// touchAfter is how old the time of last use may become; writing it each time
// would cost a sync per layer.
const touchAfter = time.Hour

// entry is an encrypted layer. Private has the layer key.
type entry struct {
	Version int `json:"version"`
	// Digest and Size are of the ciphertext.
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	// Modified is the blob's modification time in nanoseconds since 1970: while
	// it and the size hold, the blob is not read again.
	Modified int64 `json:"modified"`
	// Public and Private are ocicrypt's options, JSON.
	Public  []byte    `json:"public"`
	Private []byte    `json:"private"`
	Used    time.Time `json:"used"`
}

// cacheKey is the name of a plain layer in the cache.
func cacheKey(l oci.Layer) string {
	sum := sha256.Sum256([]byte(l.Digest + "\n" + l.MediaType))
	return hex.EncodeToString(sum[:])
}

func (s *Sealer) remember(key string, e entry) error {
	if s.cfg.Cache == nil {
		return nil
	}
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.cfg.Cache.Put(key, value)
}

func parseEntry(value []byte) (entry, bool) {
	var e entry
	if json.Unmarshal(value, &e) != nil || e.Version != entryVersion || !digestPattern.MatchString(e.Digest) ||
		e.Size < 0 || len(e.Private) == 0 || len(e.Public) == 0 {
		return entry{}, false
	}
	return e, true
}

// reuse finds the ciphertext of a layer. Whatever is wrong with it is a miss:
// encrypting once more is always right.
func (s *Sealer) reuse(ctx context.Context, l oci.Layer) (entry, bool) {
	if s.cfg.Cache == nil {
		return entry{}, false
	}
	key := cacheKey(l)
	value, err := s.cfg.Cache.Get(key)
	if err != nil {
		s.cfg.Logger.Warn("layer cache not readable", "layer", l.Digest, "error", err)
	}
	if err != nil || value == nil {
		return entry{}, false
	}
	e, ok := parseEntry(value)
	if !ok {
		s.cfg.Logger.Warn("layer cache entry not valid", "layer", l.Digest)
		return entry{}, false
	}
	info, err := os.Stat(s.cfg.BlobPath(e.Digest))
	if err != nil || !info.Mode().IsRegular() || info.Size() != e.Size {
		return entry{}, false
	}
	changed := info.ModTime().UnixNano() != e.Modified
	if changed && !s.intact(ctx, e) {
		s.cfg.Logger.Warn("encrypted layer was altered, encrypting again", "blob", e.Digest)
		return entry{}, false
	}
	if now := s.cfg.Now(); changed || now.Sub(e.Used) > touchAfter {
		e.Modified, e.Used = info.ModTime().UnixNano(), now
		if err := s.remember(key, e); err != nil {
			s.cfg.Logger.Warn("layer cache not writable", "error", err)
		}
	}
	return e, true
}

// intact reads a blob again.
func (s *Sealer) intact(ctx context.Context, e entry) bool {
	f, err := os.Open(s.cfg.BlobPath(e.Digest))
	if err != nil {
		return false
	}
	defer f.Close()
	sum, buf := sha256.New(), make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF {
			return "sha256:"+hex.EncodeToString(sum.Sum(nil)) == e.Digest
		}
		if err != nil {
			return false
		}
	}
	return false
}
