package client

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// maxOrigins bounds the sessions that are kept, against redirects through ever
// new names.
const maxOrigins = 1024

// session is one origin that was verified.
type session struct {
	report    *Report
	transport *http.Transport
}

// flights keeps one session for each origin, and at most one verification of
// it under way.
type flights struct {
	verify func(ctx context.Context, o origin, old *session) (*session, error)

	mu       sync.Mutex
	sessions map[origin]*session
	under    map[origin]*flight
}

// flight is a verification under way. It ends when all who waited have left.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	session *session
	err     error
}

// session returns one whose verdict lasts, and verifies where there is none.
func (f *flights) session(ctx context.Context, o origin, now func() time.Time) (*session, error) {
	f.mu.Lock()
	s := f.sessions[o]
	if s != nil && now().Before(s.report.Verdict.ExpiresAt) {
		f.mu.Unlock()
		return s, nil
	}
	fl := f.under[o]
	if fl == nil {
		fl = f.start(ctx, o, s)
	}
	fl.waiters++
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.session, fl.err
	case <-ctx.Done():
		f.leave(o, fl)
		return nil, context.Cause(ctx)
	}
}

// start runs with the lock held. The verification has the first caller's values
// and nobody's deadline.
func (f *flights) start(ctx context.Context, o origin, old *session) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl := &flight{done: make(chan struct{}), cancel: cancel}
	if f.under == nil {
		f.under, f.sessions = map[origin]*flight{}, map[origin]*session{}
	}
	f.under[o] = fl
	go func() {
		defer cancel()
		fl.session, fl.err = f.verify(ctx, o, old)
		f.land(o, fl, old)
	}()
	return fl
}

func (f *flights) land(o origin, fl *flight, old *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under[o] == fl {
		delete(f.under, o)
		f.replace(o, old, fl.session)
	} else if fl.session != nil && (old == nil || old.transport != fl.session.transport) {
		// All have left: nobody will use it.
		fl.session.transport.CloseIdleConnections()
	}
	close(fl.done)
}

// replace runs with the lock held. next is nil where the verification failed:
// what was good before is not any more.
func (f *flights) replace(o origin, old, next *session) {
	if old != nil && (next == nil || old.transport != next.transport) {
		old.transport.CloseIdleConnections()
	}
	if next == nil {
		delete(f.sessions, o)
		return
	}
	if _, had := f.sessions[o]; !had && len(f.sessions) >= maxOrigins {
		for other, s := range f.sessions { // any one: it costs its origin a verification
			s.transport.CloseIdleConnections()
			delete(f.sessions, other)
			break
		}
	}
	f.sessions[o] = next
}

func (f *flights) leave(o origin, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiters--; fl.waiters > 0 {
		return
	}
	fl.cancel()
	if f.under[o] == fl {
		delete(f.under, o)
	}
}

// drop forgets a session, unless there is a newer one already.
func (f *flights) drop(o origin, s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sessions[o] == s {
		delete(f.sessions, o)
		s.transport.CloseIdleConnections()
	}
}

func (f *flights) closeIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		s.transport.CloseIdleConnections()
	}
}
