package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// idleTime is how long a provider has nothing to do before its memory is read.
const idleTime = 10 * time.Second

// size measures the binaries, and a provider that has nothing to do.
func (b *bench) size(ctx context.Context) error {
	for _, p := range []struct {
		name string
		most float64
	}{{"provider", 80}, {"publisher", 45}} {
		st, err := os.Stat(filepath.Join(b.bin, p.name))
		if err != nil {
			return err
		}
		b.table.add(row{measure: p.name + ", binary", ours: sample{float64(st.Size()) / 1e6}, yardstick: "-", unit: "MB", most: p.most})
	}
	p, err := b.provider(ctx, "idle-provider", "--tee", "soft")
	if err != nil {
		return err
	}
	defer p.stop()
	note("letting a provider idle")
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	b.table.add(row{
		measure: "provider, idle RSS", ours: sample{statusKB(p.cmd.Process.Pid, "VmRSS") * 1024 / 1e6},
		yardstick: "-", unit: "MB", most: 120,
	})
	return nil
}

// memory deploys a big image and reads the peaks of both sides, the starts of
// the programs included.
func (b *bench) memory(ctx context.Context) (err error) {
	img, err := b.image(ctx, b.huge, 9)
	if err != nil {
		return err
	}
	g, err := b.ground(ctx, "memory")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.leave(ctx)) }()
	note("deploying %d MiB", b.huge)
	d, err := g.deploy(ctx, "huge", img)
	if err != nil {
		return err
	}
	peak := statusKB(g.p.cmd.Process.Pid, "VmHWM")
	b.table.add(row{measure: fmt.Sprintf("publisher, peak RSS while it encrypts and serves %d MiB", b.huge), ours: sample{d.peakKB * 1024 / 1e6}, yardstick: "-", unit: "MB", most: 150})
	b.table.add(row{measure: fmt.Sprintf("provider, peak RSS while it fetches and unpacks %d MiB", b.huge), ours: sample{peak * 1024 / 1e6}, yardstick: "-", unit: "MB", most: 150})
	return nil
}
