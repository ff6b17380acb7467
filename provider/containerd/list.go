package containerd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/containerd/errdefs"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

func namespaced(ctx context.Context, rec *record) (context.Context, string) {
	ns := rec.namespace()
	return namespaces.WithNamespace(ctx, ns), ns
}

// List returns every instance that is here, by id, also those that are half
// made or half removed.
func (r *Runtime) List(ctx context.Context) ([]provider.Instance, error) {
	_, cl, err := r.use(ctx, "")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	records := make([]*record, 0, len(r.records))
	for _, rec := range r.records {
		records = append(records, rec)
	}
	r.mu.Unlock()
	slices.SortFunc(records, func(a, b *record) int { return strings.Compare(string(a.ID), string(b.ID)) })
	out := make([]provider.Instance, 0, len(records))
	for _, rec := range records {
		in := provider.Instance{ID: rec.ID, Pod: rec.Pod, Publisher: rec.Publisher, IP: rec.IP.String()}
		for _, c := range rec.Containers {
			st, err := r.state(ctx, cl, rec, c)
			if err != nil {
				return nil, fmt.Errorf("asking for the state of %s: %w", rec.ID, err)
			}
			in.Containers = append(in.Containers, st)
		}
		out = append(out, in)
	}
	return out, nil
}

// state is what containerd says of a container, and how its last run ended. One
// that never ran, or that a reboot has stopped, has no exit code.
func (r *Runtime) state(ctx context.Context, cl *client.Client, rec *record, c containerRecord) (provider.ContainerState, error) {
	st := provider.ContainerState{Name: c.Name, ExitCode: -1, ImageID: c.Image}
	ended := func() (provider.ContainerState, error) {
		e, ok, err := attendant.LoadExit(r.dirs.exit(rec.ID, c.Name))
		if ok && err == nil {
			st.ExitCode, st.OOMKilled = e.Code, e.OOMKilled
		}
		return st, err
	}
	ctx, _ = namespaced(ctx, rec)
	cont, err := cl.LoadContainer(ctx, c.ID)
	if err != nil {
		return st, ignoreGone(err)
	}
	task, err := cont.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return ended()
	} else if err != nil {
		return st, err
	}
	now, err := task.Status(ctx)
	if errdefs.IsNotFound(err) {
		return ended()
	} else if err != nil {
		return st, err
	}
	switch now.Status {
	case client.Running, client.Paused, client.Pausing:
		st.Running = true
	case client.Stopped:
		// The shim may only be about to write the same down.
		st.ExitCode = int(now.ExitStatus)
		st.OOMKilled = attendant.OOMKilled(r.cgroup(rec.ID)+"/"+c.Name, st.ExitCode)
	}
	return st, nil
}
