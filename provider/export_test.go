package provider

import (
	"context"
	"time"
)

// ErrOvertaken is the error of a change that came too late.
var ErrOvertaken = errOvertaken

// Transitions lists where each state may go.
func Transitions() map[State][]State { return transitions }

// Advance changes a pod's record as its driver does.
func (s *Service) Advance(ctx context.Context, id PodID, revision uint64, change func(*Record)) error {
	s.mu.Lock()
	p := s.pods[id]
	s.mu.Unlock()
	return s.advance(ctx, p, revision, change)
}

// OpenLog opens the transparency log of a service that does not run.
func (s *Service) OpenLog(ctx context.Context) error { return s.transparency.start(ctx) }

// Late keeps a pod beyond its end, as a request that was quick enough does.
func (s *Service) Late(id PodID) func(context.Context, func(*Record)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[id]
	return func(ctx context.Context, change func(*Record)) error { return s.update(ctx, p, change) }
}

// EndpointClaims is the memory of what was issued to users of apps.
type EndpointClaims struct{ endpointClaims }

// NewEndpointClaims remembers nothing yet.
func NewEndpointClaims() *EndpointClaims {
	return &EndpointClaims{endpointClaims{issued: map[[32]byte]time.Time{}}}
}

// Add, Has and Len are for tests.
func (e *EndpointClaims) Add(d [32]byte, now time.Time)      { e.add(d, now) }
func (e *EndpointClaims) Has(d [32]byte, now time.Time) bool { return e.has(d, now) }
func (e *EndpointClaims) Len() int                           { return len(e.issued) }

// Rate is the bound on the entries of the transparency log.
type Rate struct{ rate }

// Take allows a publisher one entry.
func (r *Rate) Take(p PublisherID, now time.Time) error { return r.take(p, now) }

// Peers is how many publishers are remembered.
func (r *Rate) Peers() int { return len(r.peers) }

// NextProbe is when a starting container is asked again.
var NextProbe = nextProbe
