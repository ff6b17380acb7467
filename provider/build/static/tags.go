package static

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// maxTags bounds the tags that are kept. A site with more files hashes some again.
const maxTags = 1 << 16

// tagKey is a file as it was when it was hashed.
type tagKey struct {
	name     string
	size     int64
	modified time.Time
}

// tag is computed once, however many ask at the same time.
type tag struct {
	once  sync.Once
	value string
	err   error
}

// tags remembers the entity tags of files.
type tags struct {
	mu  sync.Mutex
	all map[tagKey]*tag
}

// of returns the strong entity tag of f, 16 bytes of the SHA-256 of its
// content. It leaves the file at its beginning.
func (t *tags) of(name string, f *os.File, info fs.FileInfo) (string, error) {
	key := tagKey{name, info.Size(), info.ModTime()}
	t.mu.Lock()
	if t.all == nil || len(t.all) >= maxTags {
		t.all = make(map[tagKey]*tag)
	}
	entry := t.all[key]
	if entry == nil {
		entry = new(tag)
		t.all[key] = entry
	}
	t.mu.Unlock()
	entry.once.Do(func() {
		sum := sha256.New()
		if _, entry.err = io.Copy(sum, io.NewSectionReader(f, 0, info.Size())); entry.err == nil {
			entry.value = `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16]) + `"`
		}
	})
	if entry.err != nil {
		t.mu.Lock()
		delete(t.all, key)
		t.mu.Unlock()
	}
	return entry.value, entry.err
}
