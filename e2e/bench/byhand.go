package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// unpackBase unpacks a base image, whose layers are compressed with zstd or not,
// into the bundle's root file system, for the container's root.
func (u *bundle) unpackBase(ctx context.Context, layout string) error {
	layers, err := layersOf(layout)
	if err != nil {
		return err
	}
	root, err := u.rootfs()
	if err != nil {
		return err
	}
	for _, l := range layers {
		f, err := os.Open(l.path)
		if err != nil {
			return err
		}
		r, err := zstd.NewReader(f)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		cmd := exec.CommandContext(ctx, "tar", "--extract", "--directory", root)
		cmd.Stdin = r
		err = must(cmd)
		r.Close()
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return must(exec.CommandContext(ctx, "chown", "-hR", fmt.Sprintf("%d:%d", u.uid, u.gid), root))
}

// byHand clones the last commit, copies its files into the base and runs that,
// until the first answer.
func (u *bundle) byHand(ctx context.Context, r *repository) (time.Duration, error) {
	clone, app := u.dir+"-clone", filepath.Join(u.dir, "rootfs", "app")
	if err := os.RemoveAll(app); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := r.clone(ctx, r.tag(), clone); err != nil {
		return 0, err
	}
	if err := must(exec.CommandContext(ctx, "cp", "-r", clone, app)); err != nil {
		return 0, err
	}
	before := time.Since(start)
	run, err := u.run(ctx)
	return before + run, err
}
