package provider

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// ReadLogs calls fn for the lines of a publisher's pod: replica after replica,
// or all replicas as they write when the query follows. fn is never called
// twice at once.
func (s *Service) ReadLogs(ctx context.Context, publisher PublisherID, name string, q LogQuery, fn func(replica uint32, l LogLine) error) error {
	p, err := s.find(publisher, name)
	if err != nil {
		return err
	}
	rec := p.record()
	if rec.Locked {
		return status.New(status.NotFound, "pod.no_logs", "the logs of pod %q cannot be read now: %s", name, lockedReason)
	}
	m, err := manifest.Unmarshal(rec.Manifest)
	if err != nil {
		return status.New(status.NotFound, "pod.no_logs", "pod %q failed and its logs are gone: %s", name, rec.Reason)
	}
	if err := hasContainer(m, q.Container); err != nil {
		return err
	}
	var mu sync.Mutex // guards fn
	group, ctx := errgroup.WithContext(ctx)
	if !q.Follow {
		group.SetLimit(1)
	}
	for n := range m.Replicas.Min {
		q := q
		q.Instance = instanceID(rec.ID, rec.Revision, n)
		group.Go(func() error {
			return s.cfg.Logs.ReadLogs(ctx, q, func(l LogLine) error {
				mu.Lock()
				defer mu.Unlock()
				return fn(n, l)
			})
		})
	}
	return group.Wait()
}

func hasContainer(m *manifest.Manifest, name string) error {
	var names []string
	for _, c := range m.Containers {
		if name == "" || c.Name == name {
			return nil
		}
		names = append(names, c.Name)
	}
	return status.New(status.NotFound, "pod.container", "the pod has no container %q, it has %v", name, names)
}
