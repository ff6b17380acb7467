package buildpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// fullCache is the part of its size, in percent, from which a cache is
	// thrown away: the next job would fail for want of room.
	fullCache = 90
	// maxCacheFiles bounds the walk over a cache. One with more is full.
	maxCacheFiles = 1 << 19
)

// cache is a volume that is kept for a namespace.
type cache struct {
	disk string
	pod  provider.PodID
	// bytes is what it counts for.
	bytes uint64
	last  time.Time
	used  bool
}

// takeCaches marks the caches of a job as used and makes room for them.
func (p *Pods) takeCaches(ctx context.Context, j *job) error {
	if len(j.Caches) == 0 {
		return nil
	}
	if err := os.MkdirAll(p.marks(), 0o700); err != nil {
		return fmt.Errorf("making room for caches: %w", err)
	}
	p.mu.Lock()
	for _, disk := range j.caches() {
		p.used[disk]++
	}
	p.mu.Unlock()
	if err := p.evict(ctx, j); err != nil {
		return errors.Join(err, p.giveCaches(ctx, j))
	}
	return nil
}

// giveCaches notes the use of a job's caches, and removes those that are full.
// Where a namespace has no cache, nothing of it stays.
func (p *Pods) giveCaches(ctx context.Context, j *job) error {
	var errs error
	for _, disk := range j.caches() {
		p.mu.Lock()
		p.used[disk]--
		free := p.used[disk] == 0
		if free {
			delete(p.used, disk)
		}
		p.mu.Unlock()
		errs = errors.Join(errs, p.note(ctx, j, disk, free))
	}
	return errors.Join(errs, p.forget(ctx, j.pod))
}

// note measures a cache.
func (p *Pods) note(ctx context.Context, j *job, disk string, free bool) error {
	all, err := p.cfg.Disks.List()
	if err != nil || !slices.Contains(all, disk) {
		return err
	}
	dir, err := p.cfg.Disks.Open(ctx, disk, j.limits.CacheBytes)
	if err != nil {
		return fmt.Errorf("measuring a cache: %w", err)
	}
	n := usage(ctx, dir)
	if free && n >= j.limits.CacheBytes/100*fullCache {
		p.log.Debug("removing a full cache", "cache", disk, "bytes", n)
		return p.dropCache(ctx, disk)
	}
	return p.mark(disk, n)
}

// mark writes down the size and the time of use of a cache. One whose mark a
// crash has torn counts as not used for long.
func (p *Pods) mark(disk string, bytes uint64) error {
	path := filepath.Join(p.marks(), disk)
	err := os.WriteFile(path, []byte(strconv.FormatUint(bytes, 10)), 0o600)
	now := p.cfg.Now()
	return errors.Join(err, os.Chtimes(path, now, now))
}

func (p *Pods) marks() string { return filepath.Join(p.cfg.Dir, "caches") }

// usage is what a tree takes of the disk, in bytes. Other jobs may change it.
func usage(ctx context.Context, dir string) uint64 {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0
	}
	defer root.Close()
	var n uint64
	files := 0
	_ = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if files++; files > maxCacheFiles {
			n = math.MaxInt64
			return fs.SkipAll
		}
		if err != nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if st, err := d.Info(); err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok {
				n += uint64(sys.Blocks) * 512
			}
		}
		return nil
	})
	return n
}

// list are the caches that are here, the least recently used first.
func (p *Pods) list() ([]cache, error) {
	disks, err := p.cfg.Disks.List()
	if err != nil {
		return nil, fmt.Errorf("listing caches: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []cache
	for _, disk := range disks {
		pod, volume, ok := isDisk(disk)
		if !ok || !strings.HasPrefix(volume, cachePrefix) {
			continue
		}
		c := cache{disk: disk, pod: pod, bytes: p.cfg.Defaults.CacheBytes, used: p.used[disk] > 0}
		path := filepath.Join(p.marks(), disk)
		if st, err := os.Stat(path); err == nil {
			c.last = st.ModTime()
			if data, err := os.ReadFile(path); err == nil {
				// Where volumes have no size of their own a cache may be larger.
				if n, err := strconv.ParseUint(string(data), 10, 63); err == nil {
					c.bytes = max(c.bytes, n)
				}
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b cache) int { return a.last.Compare(b.last) })
	return out, nil
}

// evict removes the least recently used caches until those of a job fit into
// the caps of its namespace and of all. Those in use stay.
func (p *Pods) evict(ctx context.Context, j *job) error {
	all, err := p.list()
	if err != nil {
		return err
	}
	var own, sum uint64
	for _, c := range all {
		if sum += c.bytes; c.pod == j.pod {
			own += c.bytes
		}
	}
	for _, disk := range j.caches() {
		if !slices.ContainsFunc(all, func(c cache) bool { return c.disk == disk }) {
			own, sum = own+j.limits.CacheBytes, sum+j.limits.CacheBytes
		}
	}
	for _, c := range all {
		mine := c.pod == j.pod
		if c.used || !(mine && own > p.cfg.NamespaceCacheBytes || sum > p.cfg.AllCacheBytes) {
			continue
		}
		p.log.Debug("removing a cache for another", "cache", c.disk)
		if err := p.dropCache(ctx, c.disk); err != nil {
			return err
		}
		if sum -= c.bytes; mine {
			own -= c.bytes
		}
	}
	return nil
}

func (p *Pods) dropCache(ctx context.Context, disk string) error {
	if err := p.cfg.Disks.Remove(ctx, disk); err != nil {
		return fmt.Errorf("removing a cache: %w", err)
	}
	if err := os.Remove(filepath.Join(p.marks(), disk)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// forget gives up what a namespace without caches still has: its user ids.
func (p *Pods) forget(ctx context.Context, pod provider.PodID) error {
	disks, err := p.cfg.Disks.List()
	if err != nil {
		return err
	}
	for _, disk := range disks {
		if of, _, ok := isDisk(disk); ok && of == pod {
			return nil
		}
	}
	err = p.cfg.Runtime.RemoveVolumes(ctx, pod)
	if status.CodeOf(err) == status.Conflict {
		// Another job has begun.
		return nil
	}
	return err
}
