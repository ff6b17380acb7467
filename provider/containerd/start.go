package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// startTime bounds the start of one container.
const startTime = 2 * time.Minute

// Start starts an instance; see [provider.Runtime]. After a reboot the
// instance gets its network back; one that had secrets has to be made again.
func (r *Runtime) Start(ctx context.Context, id provider.InstanceID) error {
	if _, _, err := r.use(ctx, ""); err != nil {
		return err
	}
	unlock, err := r.locks.Lock(ctx, string(id))
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := r.get(id)
	if err != nil {
		return err
	}
	ctx, cl, err := r.use(ctx, rec.namespace())
	if err != nil {
		return err
	}
	if !r.secretsHere(rec) {
		return status.New(status.NotFound, "instance.secrets", "the secrets of %s are not in memory any more", id).
			WithHint("create the instance again")
	}
	if err := r.connect(rec); err != nil {
		return err
	}
	for _, c := range rec.Containers {
		if err := r.startContainer(ctx, cl, rec, c); err != nil {
			return fmt.Errorf("starting container %q: %w", c.Name, err)
		}
	}
	return nil
}

// connect makes the namespaces and the link of an instance where a reboot took them.
func (r *Runtime) connect(rec *record) error {
	if !pinned(r.dirs.netns(rec.ID)) || !pinned(r.dirs.userns(rec.ID)) {
		if err := unpinNamespaces(r.dirs, rec.ID); err != nil {
			return err
		}
		if err := pinNamespaces(r.dirs, rec.ID, rec.UIDs); err != nil {
			return err
		}
	}
	return r.link(rec)
}

// link connects an instance to the network, unless it has none.
func (r *Runtime) link(rec *record) error {
	if rec.Offline {
		if err := loopback(r.dirs.netns(rec.ID)); err != nil {
			return fmt.Errorf("enabling its loopback: %w", err)
		}
		return nil
	}
	if err := r.net.attach(rec.ID, rec.IP); err != nil {
		return fmt.Errorf("connecting to the network: %w", err)
	}
	return nil
}

func (r *Runtime) startContainer(ctx context.Context, cl *client.Client, rec *record, c containerRecord) error {
	cont, err := cl.LoadContainer(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("loading it: %w", err)
	}
	old, err := cont.Task(ctx, nil)
	switch {
	case err == nil:
		st, err := old.Status(ctx)
		if err != nil {
			return fmt.Errorf("asking for its state: %w", err)
		}
		if st.Status == client.Running || st.Status == client.Paused {
			return nil
		}
		if _, err := old.Delete(ctx, client.WithProcessKill); !gone(err) {
			return fmt.Errorf("clearing its last run: %w", err)
		}
	case !errdefs.IsNotFound(err):
		return fmt.Errorf("asking for its last run: %w", err)
	}
	if err := r.clearRemains(rec, c); err != nil {
		return err
	}
	if err := os.Remove(r.dirs.exit(rec.ID, c.Name)); !missing(err) {
		return fmt.Errorf("forgetting its last run: %w", err)
	}
	log := map[string]string{"path": r.dirs.logFile(rec.ID, c.Name), "owner": strconv.FormatUint(uint64(rec.UIDs), 10)}
	// The shim mounts the container's files in steps that nobody can take back when it
	// is killed between two: a start that has begun ends, and is then taken back.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	task, err := newTask(whole, cont, cio.BinaryIO(filepath.Join(r.dirs.bin(), attendant.LoggerName), log))
	if err == nil {
		err = task.Start(whole)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return startError(c.Name, errors.Join(err, r.giveUp(whole, cont)))
	}
	return nil
}

// giveUp takes back what a start has made before it failed. containerd may have a task
// though it answered with an error, and a shim may be there of which it has no task.
func (r *Runtime) giveUp(ctx context.Context, cont client.Container) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	task, err := cont.Task(ctx, nil)
	if err == nil {
		_, err = task.Delete(ctx, client.WithProcessKill)
	}
	if !gone(err) {
		return err
	}
	return endShims(r.dirs, cont.ID())
}

// newTask waits for the end of the last task, which takes containerd a moment
// where a shim was killed.
func newTask(ctx context.Context, cont client.Container, log cio.Creator) (client.Task, error) {
	wait, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		task, err := cont.NewTask(ctx, log)
		if !errdefs.IsAlreadyExists(err) {
			return task, err
		}
		select {
		case <-again.C:
		case <-wait.Done():
			return nil, err
		}
	}
}

// startError classes what runc says. Its text names paths of the host, so only
// the cases that the publisher can do something about are passed on.
func startError(container string, err error) error {
	text := err.Error()
	for _, known := range []struct{ has, detail string }{
		{"executable file not found", "its command is not in the image"},
		{"no such file or directory", "its command, or the loader that it needs, is not in the image"},
		{"permission denied", "its command may not be executed"},
		{"exec format error", "its command is not a program for this machine"},
		{"no space left on device", "the disk is full"},
	} {
		if strings.Contains(text, known.has) {
			return status.Wrap(err, status.AppFailed, "container.start", "container %q does not start: %s", container, known.detail).
				WithHint("check the image's entrypoint and the manifest's command and workingDir")
		}
	}
	return err
}

var _ provider.Runtime = (*Runtime)(nil)
