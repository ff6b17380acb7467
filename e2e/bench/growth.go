package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// files are the sizes of the regular files below a directory, by path.
func filesBelow(dir string) (map[string]int64, error) {
	out := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // files come and go while it looks
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			out[path] = info.Size()
		}
		return err
	})
	return out, err
}

// grown are the bytes by which files grew, by the first part of their paths below
// dir, and the largest file that is new.
func grown(dir string, before, after map[string]int64) (by map[string]int64, largest int64) {
	by = map[string]int64{}
	for path, size := range after {
		old, known := before[path]
		if size <= old {
			continue
		}
		rel := strings.TrimPrefix(path, dir+"/")
		top, _, _ := strings.Cut(rel, "/")
		by[top] += size - old
		if !known && strings.Contains(rel, "blobs/") {
			largest = max(largest, size)
		}
	}
	return by, largest
}

// rebuild deploys a commit that differs in one line from the one that runs.
func (b *bench) rebuild(ctx context.Context, d *door, r *repository) error {
	if _, err := d.toFirst(ctx, keeper, r, nil); err != nil {
		return err
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	before, err := filesBelow(d.dir)
	if err != nil {
		return err
	}
	d.moved = 0
	if _, err := d.toFirst(ctx, keeper, r, nil); err != nil {
		return err
	}
	after, err := filesBelow(d.dir)
	if err != nil {
		return err
	}
	by, layer := grown(d.dir, before, after)
	kB := func(n int64) sample { return sample{float64(n) / 1e3} }
	b.table.add(row{
		measure: "rebuild after a change of one line: moved from the repository", ours: kB(d.moved),
		yardstick: "the app's new layer", theirs: kB(layer), unit: "kB", most: 2,
	})
	b.table.add(row{
		measure: "the same: stored, sealed image and artifact", ours: kB(by["content"] + by["artifacts"]),
		yardstick: "the app's new layer", theirs: kB(layer), unit: "kB", most: 2,
	})
	return nil
}
