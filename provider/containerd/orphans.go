package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A daemon that is killed while it starts a shim leaves one that containerd
// does not know, and so does a start that fails halfway. It waits for ever for
// somebody to read its log, with its socket open: the next shim of the same container
// would be told that it exists already, and the container's start would wait for ever
// too.

// shimProcess is a shim, or the helper that starts one.
type shimProcess struct {
	pid           int
	namespace, id string
}

// shims are the shims of this provider, by their command lines.
func shims(l layout) ([]shimProcess, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var out []shimProcess
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			// It has ended meanwhile.
			continue
		}
		argv := bytes.Split(data, []byte{0})
		after := func(flag string) string {
			if i := slices.IndexFunc(argv, func(a []byte) bool { return string(a) == flag }); i >= 0 && i+1 < len(argv) {
				return string(argv[i+1])
			}
			return ""
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err == nil && after("-address") == l.grpcAddress() && after("-id") != "" {
			out = append(out, shimProcess{pid: pid, namespace: after("-namespace"), id: after("-id")})
		}
	}
	return out, nil
}

// killOrphans ends the shims that containerd has no task for. It is called when
// containerd has just started and nobody else uses it.
func killOrphans(ctx context.Context, cl *client.Client, l layout) error {
	return killShims(l, func(s shimProcess) (bool, error) {
		known, err := hasTask(namespaces.WithNamespace(ctx, s.namespace), cl, s.id)
		return !known, err
	})
}

// endShims ends the shims of a container that has no task, and is not being started.
func endShims(l layout, id string) error {
	return killShims(l, func(s shimProcess) (bool, error) { return s.id == id, nil })
}

// killShims ends the shims that nobody needs.
func killShims(l layout, useless func(shimProcess) (bool, error)) error {
	// A helper may start its shim while it is being killed.
	for {
		all, err := shims(l)
		if err != nil {
			return fmt.Errorf("looking for shims: %w", err)
		}
		killed := 0
		for _, s := range all {
			end, err := useless(s)
			if err != nil {
				return err
			}
			if !end {
				continue
			}
			if err := unix.Kill(s.pid, unix.SIGKILL); err == nil {
				killed++
			} else if !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("killing shim %d: %w", s.pid, err)
			}
		}
		if killed == 0 {
			return nil
		}
	}
}

func hasTask(ctx context.Context, cl *client.Client, id string) (bool, error) {
	c, err := cl.LoadContainer(ctx, id)
	if err == nil {
		_, err = c.Task(ctx, nil)
	}
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for the task of %s: %w", id, err)
	}
	return true, nil
}

// clearRemains ends what is left of a container that containerd has no task
// for: processes whose shim was killed, and what runc remembers of them.
func (r *Runtime) clearRemains(rec *record, c containerRecord) error {
	if err := killGroup(r.cgroup(rec.ID) + "/" + c.Name); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(r.dirs.runcRoot(), rec.namespace(), c.ID)); err != nil {
		return fmt.Errorf("deleting runc's state: %w", err)
	}
	return nil
}

// killGroup kills every process of a cgroup.
func killGroup(group string) error {
	for _, pid := range cgroupPIDs(group) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("killing process %d: %w", pid, err)
		}
	}
	return nil
}
