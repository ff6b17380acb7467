package deploy

import (
	"context"
	"slices"
	"sync"
)

// slots are the places of those who build or seal: maxBuilding in all, and
// maxBuildingPerNamespace of one namespace, in the order in which they come.
type slots struct {
	mu      sync.Mutex // guards what follows
	all     int
	by      map[string]int
	waiting []*waiter
}

type waiter struct {
	namespace string
	// in is closed when it has its place.
	in chan struct{}
}

// take waits for a place, at most until ctx ends, and returns what gives it back.
func (s *slots) take(ctx context.Context, namespace string) (func(), error) {
	w := &waiter{namespace: namespace, in: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.admit()
	s.mu.Unlock()
	give := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[namespace]--; s.by[namespace] == 0 {
			delete(s.by, namespace)
		}
		s.admit()
	}
	select {
	case <-w.in:
		return give, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.waiting, w)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		give() // it came too late
	}
	return nil, ctx.Err()
}

// admit gives places to those who may have one. The caller holds s.mu.
func (s *slots) admit() {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool {
		if s.all >= maxBuilding || s.by[w.namespace] >= maxBuildingPerNamespace {
			return false
		}
		if s.by == nil {
			s.by = map[string]int{}
		}
		s.all++
		s.by[w.namespace]++
		close(w.in)
		return true
	})
}
