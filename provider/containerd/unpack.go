package containerd

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/keyed"
)

// snapshotter is containerd's driver for layers.
const snapshotter = "overlayfs"

// reportEvery is the shortest time between two progress reports.
const reportEvery = 100 * time.Millisecond

// unpacker unpacks the images of one instance into snapshots of one
// publisher's namespace. The context of its calls carries the instance's lease.
type unpacker struct {
	snaps  snapshots.Snapshotter
	leases leases.Manager
	lease  leases.Lease
	chains *keyed.Locks

	report   func(provider.Progress)
	started  time.Time
	total    uint64
	done     atomic.Uint64
	reported atomic.Int64
}

func (u *unpacker) add(n int) {
	u.done.Add(uint64(n))
	now, last := time.Now().UnixNano(), u.reported.Load()
	if now-last >= int64(reportEvery) && u.reported.CompareAndSwap(last, now) {
		u.tell()
	}
}

func (u *unpacker) tell() {
	done := u.done.Load()
	rate := uint64(0)
	if s := time.Since(u.started).Seconds(); s > 0 {
		rate = uint64(float64(done) / s)
	}
	u.report(provider.Progress{Stage: provider.StageUnpacking, Done: done, Total: u.total, Rate: rate, Source: "local"})
}

// unpack makes the snapshots of an image that are not there yet, lowest first,
// each as soon as its layer is here.
func (u *unpacker) unpack(ctx context.Context, img *image) error {
	for n := range img.layers {
		if err := u.layer(ctx, img, n); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) layer(ctx context.Context, img *image, n int) error {
	chain, l := img.chains[n].String(), img.layers[n]
	// Two instances that need the same layer unpack it once.
	unlock, err := u.chains.Lock(ctx, chain)
	if err != nil {
		return err
	}
	defer unlock()
	// The lease comes first, so that the collector cannot take the layer
	// between the look and the lease.
	if err := u.keep(ctx, chain); err != nil {
		return err
	}
	if _, err := u.snaps.Stat(ctx, chain); err == nil {
		u.add(int(l.Size))
		return nil
	} else if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking for layer %s: %w", chain, err)
	}
	parent := ""
	if n > 0 {
		parent = img.chains[n-1].String()
	}
	key := "extract-" + u.lease.ID + "-" + shortHash(16, chain)
	if err := u.snaps.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing what was left of layer %s: %w", chain, err)
	}
	mounts, err := u.snaps.Prepare(ctx, key, parent)
	if err != nil {
		return fmt.Errorf("preparing layer %s: %w", chain, err)
	}
	err = func() error {
		s, err := img.openLayer(ctx, l, u.add)
		if err != nil {
			return layerError(n, err)
		}
		got, err := apply.NewFileSystemApplier(oneBlob{s}).Apply(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer}, mounts)
		if err != nil {
			return layerError(n, s.blame(err))
		}
		if got.Digest != img.diffIDs[n] {
			return status.New(status.Untrusted, "image.layer", "layer %d unpacks to %s, not the %s of the image configuration", n, got.Digest, img.diffIDs[n])
		}
		if err := u.snaps.Commit(ctx, chain, key); err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("committing layer %s: %w", chain, err)
		}
		return nil
	}()
	if err != nil {
		rmErr := u.snaps.Remove(context.WithoutCancel(ctx), key)
		if rmErr != nil && !errdefs.IsNotFound(rmErr) {
			err = errors.Join(err, fmt.Errorf("removing a half unpacked layer: %w", rmErr))
		}
		return err
	}
	return nil
}

// keep puts a snapshot under the instance's lease; it need not exist yet.
func (u *unpacker) keep(ctx context.Context, key string) error {
	err := u.leases.AddResource(ctx, u.lease, leases.Resource{ID: key, Type: "snapshots/" + snapshotter})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("keeping layer %s: %w", key, err)
	}
	return nil
}

// layerError classes what went wrong with a layer: what its source said, a
// full disk, or else the layer itself.
func layerError(n int, err error) error {
	var st *status.Error
	switch {
	case errors.As(err, &st), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("unpacking layer %d: %w", n, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return status.Wrap(err, status.ResourceExhausted, "disk.full", "no space is left to unpack layer %d", n).
			WithHint("take another provider, or a smaller image")
	}
	return status.Wrap(err, status.Untrusted, "image.layer", "layer %d of the image cannot be unpacked: it is damaged or not what the image says", n)
}
