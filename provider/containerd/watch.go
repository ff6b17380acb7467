package containerd

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/typeurl/v2"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// Watch reports the ends of containers; see [provider.Instances]. A container
// that Remove stops may be reported or not.
func (r *Runtime) Watch(ctx context.Context, fn func(provider.Exit)) error {
	for {
		_, cl, err := r.use(ctx, "")
		if err != nil {
			return watchEnd(ctx, err)
		}
		// Without a namespace in the context, events of all namespaces come.
		ch, errs := cl.EventService().Subscribe(ctx, `topic=="/tasks/exit"`)
		for more := true; more; {
			select {
			case e := <-ch:
				if e == nil {
					continue
				}
				if exit, ok := r.exit(e.Namespace, e.Event); ok {
					fn(exit)
				}
			case err := <-errs:
				if ctx.Err() != nil {
					return watchEnd(ctx, err)
				}
				r.log.Warn("events of containers were cut off", slog.Any("err", err))
				more = false
			}
		}
	}
}

// watchEnd tells the end that was asked for from the one that was not.
func watchEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("watching containers: %w", err)
}

// exit translates an event. The exits of other processes than a container's
// first have their own id and are skipped.
func (r *Runtime) exit(namespace string, any typeurl.Any) (provider.Exit, bool) {
	v, err := typeurl.UnmarshalAny(any)
	if err != nil {
		return provider.Exit{}, false
	}
	e, ok := v.(*events.TaskExit)
	if !ok || e.ID != e.ContainerID {
		return provider.Exit{}, false
	}
	r.mu.Lock()
	var rec *record
	var name string
	for _, known := range r.records {
		for _, c := range known.Containers {
			if c.ID == e.ContainerID && known.namespace() == namespace {
				rec, name = known, c.Name
			}
		}
	}
	r.mu.Unlock()
	if rec == nil {
		return provider.Exit{}, false
	}
	out := provider.Exit{Instance: rec.ID, Container: name, Code: int(e.ExitStatus), At: e.ExitedAt.AsTime()}
	// A shim that was itself killed has written nothing down.
	if kept, ok, err := attendant.LoadExit(r.dirs.exit(rec.ID, name)); err == nil && ok && kept.At.Equal(out.At) {
		out.OOMKilled = kept.OOMKilled
	}
	return out, true
}
