package runtimetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"apocryph/provider"
)

// pollLogs is how often a follower of a fake's log looks for more.
const pollLogs = 5 * time.Millisecond

// List returns every instance, by id.
func (f *Fake) List(context.Context) ([]provider.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fault("List"); err != nil {
		return nil, err
	}
	var out []provider.Instance
	for id, in := range f.instances {
		v := provider.Instance{ID: id, Pod: in.spec.Pod, Publisher: in.spec.Publisher, IP: in.ip.String()}
		for _, c := range in.containers {
			v.Containers = append(v.Containers, provider.ContainerState{
				Name: c.spec.Name, Running: c.run.running(), ExitCode: c.exit, ImageID: c.imageID,
			})
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b provider.Instance) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

// Watch reports exits until ctx ends; see [provider.Instances].
func (f *Fake) Watch(ctx context.Context, fn func(provider.Exit)) error {
	// Exits are few in a test: a container is never kept from ending by this.
	ch := make(chan provider.Exit, 1024)
	f.mu.Lock()
	f.watchers[ch] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, ch)
	}()
	for {
		select {
		case e := <-ch:
			fn(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ReadLogs reads what containers wrote; see [provider.Logs].
func (f *Fake) ReadLogs(ctx context.Context, q provider.LogQuery, fn func(provider.LogLine) error) error {
	f.mu.Lock()
	in := f.instances[q.Instance]
	f.mu.Unlock()
	if in == nil || q.Container != "" {
		f.mu.Lock()
		_, _, err := f.find(q.Instance, q.Container)
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
	seen := map[*fakeContainer]int{}
	tail := q.Tail
	for {
		var lines []provider.LogLine
		f.mu.Lock()
		_, here := f.instances[q.Instance]
		for _, c := range in.containers {
			if q.Container == "" || q.Container == c.spec.Name {
				lines = append(lines, c.logs[seen[c]:]...)
				seen[c] = len(c.logs)
			}
		}
		f.mu.Unlock()
		lines = slices.DeleteFunc(lines, func(l provider.LogLine) bool { return l.Time.Before(q.Since) })
		slices.SortStableFunc(lines, func(a, b provider.LogLine) int { return a.Time.Compare(b.Time) })
		if tail > 0 {
			lines, tail = lines[max(0, len(lines)-tail):], 0
		}
		for _, l := range lines {
			if err := fn(l); err != nil {
				return err
			}
		}
		if !q.Follow || !here {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollLogs):
		}
	}
}
