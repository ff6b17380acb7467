package provider

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// pod is one pod in this process: its record, what drives it, and who watches it.
type pod struct {
	mu  sync.Mutex // guards everything below
	rec Record
	// progress is the last report of the current revision's provision.
	progress Progress
	// failure is the error that put the pod into StateFailed, in this process.
	failure error
	// restarts counts by replica and container, "0/web".
	restarts map[string]int
	// waiting says why a container is not running at the moment, by the same key.
	waiting map[string]string
	// health says why a running pod gets no traffic; empty when it does.
	health string
	// changed is closed and replaced whenever rec or progress changes.
	changed chan struct{}
	// interrupt ends what the driver is doing, so that it looks at rec again.
	interrupt context.CancelFunc
	// busy is held by the request that is changing the pod.
	busy bool
	gone bool

	exits chan Exit
}

func newPod(r Record) *pod {
	return &pod{
		rec: r, changed: make(chan struct{}), exits: make(chan Exit, 64),
		restarts: map[string]int{}, waiting: map[string]string{},
	}
}

// record returns a copy of what is stored. Its slices and maps are never changed in place.
func (p *pod) record() Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rec
}

// wake tells those who wait that something changed. The caller holds mu.
func (p *pod) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// report notes progress for those who follow the provision.
func (p *pod) report(pr Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = pr
	p.wake()
}

// noteExit hands an exit to the driver. When the driver is busy for long the
// exit is dropped: the driver looks at the runtime again in any case.
func (p *pod) noteExit(e Exit) {
	select {
	case p.exits <- e:
	default:
	}
}

// owns reports whether an instance is one of this pod's.
func (p *pod) owns(id InstanceID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.HasPrefix(string(id), string(p.rec.ID)+"-")
}

// instanceID names one replica of one revision.
func instanceID(pod PodID, revision uint64, replica uint32) InstanceID {
	return InstanceID(fmt.Sprintf("%s-%d-%d", pod, revision, replica))
}

// acquire makes the caller the only one who changes the pod.
func (p *pod) acquire() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.gone {
		return false
	}
	p.busy = true
	return true
}

func (p *pod) yield() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
}

// update changes the record in the store first and then in memory. change
// works on a copy; when it or the store fails, nothing has changed.
func (s *Service) update(ctx context.Context, p *pod, change func(*Record)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.rec
	change(&next)
	if !p.rec.State.May(next.State) {
		return fmt.Errorf("provider: internal error: pod %s may not go from %s to %s", p.rec.ID, p.rec.State, next.State)
	}
	next.Updated = s.cfg.Now()
	if err := s.cfg.Store.Save(ctx, next); err != nil {
		return fmt.Errorf("storing pod %s: %w", next.ID, err)
	}
	if next.State != p.rec.State {
		s.log.Info("pod state", "pod", next.ID, "name", next.Name, "revision", next.Revision, "from", p.rec.State, "to", next.State, "reason", next.Reason)
	}
	p.rec = next
	p.wake()
	return nil
}

// disturb makes the driver look at the record again.
func (p *pod) disturb() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interrupt != nil {
		p.interrupt()
	}
}

// attempt is a context for one attempt of the driver. It ends with ctx, when
// the pod is disturbed, or with the returned function.
func (p *pod) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, p.interrupt = context.WithCancel(ctx)
	return ctx, p.interrupt
}

// backoff is the delay before restart n of a container, n from 0.
func backoff(n int) time.Duration {
	const first, most = time.Second, 5 * time.Minute
	if n > 8 {
		return most
	}
	return min(first<<n, most)
}
