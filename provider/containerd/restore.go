package containerd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"apocryph/provider"
)

// restore brings the machine in line with the records after a start.
func (r *Runtime) restore(ctx context.Context) error {
	records, bare, err := loadRecords(r.dirs)
	if err != nil {
		return err
	}
	for _, id := range bare {
		if err := os.RemoveAll(r.dirs.instance(id)); err != nil {
			return fmt.Errorf("deleting the remains of %s: %w", id, err)
		}
	}
	r.mu.Lock()
	r.records = records
	r.mu.Unlock()
	if err := r.endStrays(); err != nil {
		return fmt.Errorf("ending what is left of another time: %w", err)
	}
	if err := r.net.ensure(); err != nil {
		return fmt.Errorf("setting up the network: %w", err)
	}
	for id, rec := range records {
		if rec.Phase != made {
			continue
		}
		if !r.net.claim(id, rec.IP) {
			c := *rec
			if c.IP, err = r.net.allocate(id); err != nil {
				return err
			}
			if err := r.put(&c); err != nil {
				return err
			}
			rec = &c
		}
		if err := r.connect(rec); err != nil {
			// The others must not wait for it; Start tries again.
			r.log.Warn("instance has no network", slog.String("instance", string(id)), slog.Any("err", err))
		}
	}
	return r.sweep(ctx)
}

// sweepTemporary unmounts and deletes what a killed daemon was working on.
func sweepTemporary(dir string) error {
	if err := mount.UnmountRecursive(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting remains in %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// Not everything below: should a mount be left, nothing in it is touched.
		if err := os.Remove(filepath.Join(dir, e.Name())); !missing(err) {
			return fmt.Errorf("deleting remains in %s: %w", dir, err)
		}
	}
	return nil
}

// heal puts the network right: that of the provider, and the links of its
// instances where they are not joined any more.
func (r *Runtime) heal(ctx context.Context) {
	if err := r.net.ensure(); err != nil {
		r.log.Warn("network cannot be put right", slog.Any("err", err))
		return
	}
	r.mu.Lock()
	var loose []provider.InstanceID
	for id, rec := range r.records {
		if rec.Phase == made && !rec.Offline && !r.net.attached(id) {
			loose = append(loose, id)
		}
	}
	r.mu.Unlock()
	for _, id := range loose {
		unlock, err := r.locks.Lock(ctx, string(id))
		if err != nil {
			return
		}
		if rec, err := r.get(id); err == nil {
			if err := r.connect(rec); err != nil {
				r.log.Warn("instance has no network", slog.String("instance", string(id)), slog.Any("err", err))
			}
		}
		unlock()
	}
}

// sweepRanges frees the ranges of user ids of pods of which nothing is here.
func (r *Runtime) sweepRanges() error {
	pods, err := rangeOwners(r.dirs)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.records {
		delete(pods, rec.Pod)
	}
	for pod := range pods {
		if err := r.forgetPod(pod); err != nil {
			return err
		}
	}
	return nil
}

// forgetPod frees a pod's range of user ids, unless the pod has volumes, whose
// files it owns.
func (r *Runtime) forgetPod(pod provider.PodID) error {
	volumes, err := r.volumesOf(pod)
	if err != nil || len(volumes) > 0 {
		return err
	}
	return freeUIDRange(r.dirs, pod)
}

// sweep deletes the instances that a crash left half made or half deleted.
func (r *Runtime) sweep(ctx context.Context) error {
	r.mu.Lock()
	var half []provider.InstanceID
	for id, rec := range r.records {
		if rec.Phase != made {
			half = append(half, id)
		}
	}
	r.mu.Unlock()
	for _, id := range half {
		r.log.Info("removing half made instance", slog.String("instance", string(id)))
		if err := r.remove(ctx, id, 0); err != nil {
			r.log.Warn("half made instance cannot be removed", slog.String("instance", string(id)), slog.Any("err", err))
		}
	}
	return r.sweepRanges()
}
