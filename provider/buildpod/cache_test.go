package buildpod

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCachesAreOfTheirNamespace: two namespaces use the same name, for two caches.
func TestCachesAreOfTheirNamespace(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	put := w.job("one", "write", "/cache/c/key", "of one")
	put.Caches = []string{"c"}
	w.run(p, put)
	got := w.job("one", "cat", "/cache/c/key")
	got.Caches = []string{"c"}
	if out := w.run(p, got); out != "of one\n" {
		t.Errorf("the next job of the namespace has %q", out)
	}
	for _, namespace := range []string{"two", "One", "one ", "one/c"} {
		other := w.job(namespace, "cat", "/cache/c/key")
		other.Caches = []string{"c"}
		if err := p.Run(t.Context(), other); err == nil {
			t.Errorf("%q reads the cache of another", namespace)
		}
	}
	other := w.job("one", "cat", "/cache/d/key")
	other.Caches = []string{"d"}
	if err := p.Run(t.Context(), other); err == nil {
		t.Error("two caches are one")
	}
}

func (w *world) use(p *Pods, namespace string, caches ...string) {
	w.t.Helper()
	var script []string
	for _, c := range caches {
		script = append(script, "write", "/cache/"+c+"/x", "x", ";")
	}
	j := w.job(namespace, script...)
	j.Caches = caches
	w.run(p, j)
}

// named are the caches that are here, by name, without their pods.
func (w *world) named() []string {
	var out []string
	for _, disk := range w.caches() {
		_, volume, _ := strings.Cut(disk, ".")
		out = append(out, strings.TrimPrefix(volume, cachePrefix))
	}
	slices.Sort(out)
	return out
}

func TestLeastRecentlyUsedCachesGo(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.NamespaceCacheBytes, c.AllCacheBytes = 3<<20, 4<<20 })
	w.use(p, "one", "a")
	w.use(p, "one", "b")
	w.use(p, "one", "c")
	w.use(p, "one", "a")
	w.use(p, "one", "d")
	if diff := cmp.Diff([]string{"a", "c", "d"}, w.named()); diff != "" {
		t.Errorf("the cap of a namespace: %s", diff)
	}
	// A new process knows as much.
	p = w.pods(func(c *Config) { c.NamespaceCacheBytes, c.AllCacheBytes = 3<<20, 4<<20 })
	w.use(p, "two", "e", "f")
	if diff := cmp.Diff([]string{"a", "d", "e", "f"}, w.named()); diff != "" {
		t.Errorf("the cap of all: %s", diff)
	}
}

func TestFullCacheGoes(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	w.use(p, "one", "a", "b")
	for _, disk := range w.caches() {
		if strings.HasSuffix(disk, "-a") {
			must(t, os.WriteFile(filepath.Join(w.disks(), disk, "big"), make([]byte, 1<<20), 0o600))
		}
	}
	w.use(p, "one", "a", "b")
	if diff := cmp.Diff([]string{"b"}, w.named()); diff != "" {
		t.Error(diff)
	}
}

// TestUsedCacheStays: who uses a cache does not lose it to another job.
func TestUsedCacheStays(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.NamespaceCacheBytes = 1 << 20 })
	w.use(p, "one", "a")
	p.used[w.caches()[0]]++
	w.use(p, "one", "b")
	if diff := cmp.Diff([]string{"a", "b"}, w.named()); diff != "" {
		t.Error(diff)
	}
	delete(p.used, w.caches()[0])
	w.use(p, "one", "b")
	if diff := cmp.Diff([]string{"b"}, w.named()); diff != "" {
		t.Error(diff)
	}
}
