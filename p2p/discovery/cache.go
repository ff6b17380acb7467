package discovery

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// maxCached bounds the adverts kept: strangers make as many peers as they like.
	maxCached = 1000
	// maxCacheFile bounds the file in bytes: that many of the largest envelopes in
	// base64, and what stands around them.
	maxCacheFile = 32 << 20
)

// Cache remembers the adverts that were seen, the newest of each peer. It is
// safe for concurrent use.
type Cache struct {
	path string

	mu      sync.Mutex
	entries map[peer.ID]cached
	changed bool
}

type cached struct {
	advert   Advert
	envelope []byte
	seen     time.Time
}

// line is one entry of the file: JSON, one object a line.
type line struct {
	SeenMS   int64  `json:"seen_ms"`
	Envelope []byte `json:"envelope"`
}

// OpenCache reads the cache in the file at path; an empty path keeps it in
// memory only. A missing file is an empty cache, and what cannot be read in it
// is left out: it is only a memory.
func OpenCache(path string) (*Cache, error) {
	c := &Cache{path: path, entries: make(map[peer.ID]cached)}
	if path == "" {
		return c, nil
	}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("reading advert cache: %w", err)
	}
	c.changed = false
	return c, nil
}

func (c *Cache) load() error {
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxCacheFile))
	lines.Buffer(nil, 2*maxEnvelope)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		a, err := unseal(l.Envelope)
		// It was valid once: only its form is looked at.
		if err != nil || a.validate(a.NotAfter.Add(-time.Millisecond)) != nil {
			continue
		}
		c.add(l.Envelope, a, time.UnixMilli(l.SeenMS))
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	return nil
}

// Add keeps an opened advert and its envelope, unless a newer one of the peer
// is known. It returns the newest. The one seen longest ago makes room.
func (c *Cache) Add(envelope []byte, a Advert, now time.Time) Advert {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(envelope, a, now)
}

func (c *Cache) add(envelope []byte, a Advert, now time.Time) Advert {
	if old, ok := c.entries[a.Peer]; ok && old.advert.Seq > a.Seq {
		return old.advert
	}
	c.entries[a.Peer] = cached{a, bytes.Clone(envelope), now}
	c.changed = true
	if len(c.entries) > maxCached {
		oldest := a.Peer
		for id, e := range c.entries {
			if e.seen.Before(c.entries[oldest].seen) {
				oldest = id
			}
		}
		delete(c.entries, oldest)
	}
	return a
}

// Hints are the peers known and their last addresses, the latest seen first.
func (c *Cache) Hints() []peer.AddrInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var infos []peer.AddrInfo
	for _, e := range c.sorted() {
		infos = append(infos, e.advert.Info())
	}
	return infos
}

func (c *Cache) sorted() []cached {
	all := make([]cached, 0, len(c.entries))
	for _, e := range c.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b cached) int {
		return cmp.Or(b.seen.Compare(a.seen), cmp.Compare(a.advert.Peer, b.advert.Peer))
	})
	return all
}

// Save writes what was added since it was opened or saved, durably: either the
// old or the new file is there after a crash. What another process has saved
// meanwhile is kept.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" || !c.changed {
		return nil
	}
	if err := c.load(); err != nil {
		return fmt.Errorf("reading advert cache: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range c.sorted() {
		if err := enc.Encode(line{SeenMS: e.seen.UnixMilli(), Envelope: e.envelope}); err != nil {
			return fmt.Errorf("encoding advert cache: %w", err)
		}
	}
	if err := replaceFile(c.path, b.Bytes()); err != nil {
		return fmt.Errorf("writing advert cache: %w", err)
	}
	c.changed = false
	return nil
}

func replaceFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".adverts-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
