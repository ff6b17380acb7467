package discovery

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func openCache(t *testing.T, path string) *Cache {
	t.Helper()
	c, err := OpenCache(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func addNew(t *testing.T, c *Cache, seed byte, seq uint64, seen time.Time) peer.ID {
	t.Helper()
	key, id := testKey(t, seed)
	a := testAdvert(id)
	a.Seq = seq
	c.Add(seal(t, a, key), a, seen)
	return id
}

func TestCacheKeepsAcrossRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "adverts.json")
	c := openCache(t, path)
	older := addNew(t, c, 1, 1, now)
	newer := addNew(t, c, 2, 1, now.Add(time.Second))
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	hints := openCache(t, path).Hints()
	if len(hints) != 2 || hints[0].ID != newer || hints[1].ID != older || len(hints[0].Addrs) != 2 {
		t.Errorf("got %v", hints)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".adverts-*")); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}

func TestCacheKeepsHighestSeq(t *testing.T) {
	c := openCache(t, "")
	addNew(t, c, 1, 5, now)
	key, id := testKey(t, 1)
	a := testAdvert(id)
	a.Seq = 4
	if got := c.Add(seal(t, a, key), a, now); got.Seq != 5 {
		t.Errorf("an older advert replaced seq 5: %d", got.Seq)
	}
	a.Seq = 6
	if got := c.Add(seal(t, a, key), a, now); got.Seq != 6 {
		t.Errorf("a newer advert was not kept: %d", got.Seq)
	}
}

func TestCacheMergesOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adverts.json")
	a, b := openCache(t, path), openCache(t, path)
	addNew(t, a, 1, 1, now)
	addNew(t, b, 2, 1, now)
	for _, c := range []*Cache{a, b} {
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
	}
	if hints := openCache(t, path).Hints(); len(hints) != 2 {
		t.Errorf("got %d adverts, want both", len(hints))
	}
}

func TestCacheSurvivesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adverts.json")
	c := openCache(t, path)
	addNew(t, c, 1, 1, now)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := "not json\n{\"seen_ms\":1,\"envelope\":\"AAAA\"}\n\n" + string(good) + string(good[:len(good)/2])
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if hints := openCache(t, path).Hints(); len(hints) != 1 {
		t.Errorf("got %d adverts, want the good one", len(hints))
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := openCache(t, "")
	_, oldest := testKey(t, 1)
	for i := range maxCached + 10 {
		id := peer.ID(append([]byte(oldest), byte(i), byte(i>>8)))
		a := testAdvert(id)
		c.Add([]byte{1}, a, now.Add(time.Duration(i)*time.Second))
	}
	hints := c.Hints()
	if len(hints) != maxCached || hints[maxCached-1].ID != peer.ID(append([]byte(oldest), 10, 0)) {
		t.Errorf("got %d adverts", len(hints))
	}
}

func TestCacheUnwritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(filepath.Join(dir, "adverts.json")); err == nil {
		t.Error("no error for a path below a file")
	}
}
