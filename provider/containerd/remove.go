package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// killTime is how long a killed container may take to be gone. A process that
// waits for a dead disk takes longer, and the removal is tried again later.
const killTime = 10 * time.Second

// Remove stops and deletes an instance; see [provider.Runtime].
func (r *Runtime) Remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	if _, _, err := r.use(ctx, ""); err != nil {
		return err
	}
	if !safeName.MatchString(string(id)) {
		return nil
	}
	unlock, err := r.locks.Lock(ctx, string(id))
	if err != nil {
		return err
	}
	defer unlock()
	return r.remove(ctx, id, grace)
}

// remove deletes what there is of an instance, at whatever point its making or
// unmaking was left. The record goes last, so that a removal which fails or is
// cut short is found and goes on. The caller holds the instance's lock.
func (r *Runtime) remove(ctx context.Context, id provider.InstanceID, grace time.Duration) error {
	r.mu.Lock()
	rec, cl := r.records[id], r.client
	r.mu.Unlock()
	if rec == nil {
		return nil
	}
	if cl == nil {
		return errors.New("the container runtime has stopped")
	}
	c := *rec
	c.Phase = removing
	// On a full disk the mark cannot be written, and to remove is what helps. A
	// crash from here on leaves a record that looks whole: its instance is listed as
	// stopped, and starting it fails, upon which its pod makes it anew.
	if err := r.put(&c); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	ctx, _ = namespaced(ctx, rec)
	if err := r.stop(ctx, cl, rec, grace); err != nil {
		return err
	}
	var errs error
	for _, c := range rec.Containers {
		err := deleteContainer(ctx, cl, c)
		if err == nil {
			err = endShims(r.dirs, c.ID)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("deleting container %q: %w", c.Name, err))
		}
	}
	if errs != nil {
		return errs
	}
	if err := cl.LeasesService().Delete(ctx, leases.Lease{ID: leaseOf(id)}, leases.SynchronousDelete); !gone(err) {
		return fmt.Errorf("giving up the lease: %w", err)
	}
	return r.clear(rec)
}

// clear deletes what is not containerd's.
func (r *Runtime) clear(rec *record) error {
	id := rec.ID
	errs := errors.Join(
		r.net.detach(id),
		unpinNamespaces(r.dirs, id),
		removeSecrets(r.dirs, id),
		removeCgroup(r.cgroup(id)),
	)
	if errs != nil {
		return errs
	}
	// Only an empty group goes: those of other instances keep it.
	for _, dir := range cgroupDirs(r.names.cgroup) {
		_ = unix.Rmdir(dir)
	}
	// A shim's last words may come in between.
	if os.RemoveAll(r.dirs.instance(id)) != nil {
		if err := os.RemoveAll(r.dirs.instance(id)); err != nil {
			return fmt.Errorf("deleting files: %w", err)
		}
	}
	if err := attendant.SyncDir(r.dirs.instances()); err != nil {
		return err
	}
	r.net.release(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.records, id)
	for _, other := range r.records {
		if other.Pod == rec.Pod {
			return nil
		}
	}
	return r.forgetPod(rec.Pod)
}

// stop ends the processes of an instance, all containers at the same time.
func (r *Runtime) stop(ctx context.Context, cl *client.Client, rec *record, grace time.Duration) error {
	errs := make([]error, len(rec.Containers))
	var wg sync.WaitGroup
	for i, c := range rec.Containers {
		wg.Go(func() {
			if err := stopContainer(ctx, cl, c, grace); err != nil {
				errs[i] = fmt.Errorf("stopping container %q: %w", c.Name, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// What a dead shim left running is not containerd's to find.
	for _, c := range rec.Containers {
		if err := r.clearRemains(rec, c); err != nil {
			return fmt.Errorf("clearing container %q: %w", c.Name, err)
		}
	}
	return killGroup(r.cgroup(rec.ID))
}

func stopContainer(ctx context.Context, cl *client.Client, c containerRecord, grace time.Duration) error {
	cont, err := cl.LoadContainer(ctx, c.ID)
	if err != nil {
		return ignoreGone(err)
	}
	task, err := cont.Task(ctx, nil)
	if err != nil {
		return ignoreGone(err)
	}
	exited, err := task.Wait(ctx)
	if err != nil {
		return ignoreGone(err)
	}
	if grace > 0 {
		sig := syscall.SIGTERM
		if s, err := signal.ParseSignal(c.StopSignal); err == nil {
			sig = s
		}
		if err := task.Kill(ctx, sig); err == nil {
			polite := time.NewTimer(grace)
			defer polite.Stop()
			select {
			case <-exited:
			case <-polite.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if err := task.Kill(ctx, syscall.SIGKILL, client.WithKillAll); !gone(err) {
		return fmt.Errorf("killing: %w", err)
	}
	kctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	if _, err := task.Delete(kctx, client.WithProcessKill); !gone(err) {
		return fmt.Errorf("deleting its process: %w", err)
	}
	return nil
}

func deleteContainer(ctx context.Context, cl *client.Client, c containerRecord) error {
	if err := cl.ContainerService().Delete(ctx, c.ID); !gone(err) {
		return err
	}
	for _, key := range []string{c.ID, "view-" + c.ID} {
		if err := cl.SnapshotService(snapshotter).Remove(ctx, key); !gone(err) {
			return fmt.Errorf("deleting its root file system: %w", err)
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}
