package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"apocryph/proto/status"
)

// pod is one pod in this process: its record, what drives it, and who watches it.
type pod struct {
	mu  sync.Mutex // guards everything below
	rec Record
	// progress is the last report of the current revision's provision.
	progress Progress
	// failure is why the current revision failed, in this process. It is final:
	// whoever follows the provision was told.
	failure *status.Error
	// lost is the last revision that failed and was replaced by an earlier one, and why.
	lost struct {
		revision uint64
		why      *status.Error
	}
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
	// busy is held by the request that is changing the pod, placing is that
	// request's id where it is an order.
	busy    bool
	placing [16]byte
	// removed is set with the record's removal: nothing may store it again. gone
	// is set when the pod's name and capacity are free, too.
	removed, gone bool

	exits chan Exit
	// next is tried beside the current revision; nil when nothing is.
	next *candidate

	// trace is what the log of this boot says of the pod.
	trace trace

	routes sync.Mutex // guards what follows, and what Routes has of the pod
	// published is where the routes lead, routed the revision that they lead to.
	published []Backend
	routed    uint64

	history sync.Mutex // guards pasts; taken before mu
	// pasts are the revisions that are kept, oldest first, without their secrets:
	// a manifest that is not nil says that they are in the store.
	pasts []Past

	receipts sync.Mutex // guards receipt
	receipt  *signed
}

func newPod(r Record) *pod {
	return &pod{
		rec: r, changed: make(chan struct{}), exits: make(chan Exit, 64),
		restarts: map[string]int{}, waiting: map[string]string{}, trace: newTrace(),
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
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.exits
	if p.next != nil && strings.HasPrefix(string(e.Instance), instancePrefix(p.rec.ID, p.next.revision)) {
		to = p.next.exits
	}
	offerExit(to, e)
}

func offerExit(to chan Exit, e Exit) {
	select {
	case to <- e:
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

// instancePrefix is what the names of a revision's instances begin with.
func instancePrefix(pod PodID, revision uint64) string { return fmt.Sprintf("%s-%d-", pod, revision) }

// acquire makes a request the only one who changes the pod, and reports whether
// it is. It waits for the driver, who holds the pod for moments, and for the
// same order, whose publisher sent it again on another stream; request is zero
// for what is no order. Another order that is being placed is not waited for.
func (p *pod) acquire(ctx context.Context, request [16]byte) (bool, error) {
	for {
		p.mu.Lock()
		free, changed := !p.busy && !p.removed, p.changed
		brief := p.busy && (p.placing == request || p.placing == [16]byte{})
		if free {
			p.busy, p.placing = true, request
		}
		p.mu.Unlock()
		if !brief {
			return free, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// hold is acquire for the driver, who waits for everybody. A pod that was
// removed ends with ctx.
func (p *pod) hold(ctx context.Context) error {
	for {
		p.mu.Lock()
		free, changed := !p.busy && !p.removed, p.changed
		if free {
			p.busy = true
		}
		p.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *pod) yield() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy, p.placing = false, [16]byte{}
	p.wake()
}

// errOvertaken ends what the driver does for a revision that is not current any
// more, or that is being deleted.
var errOvertaken = errors.New("the pod was changed meanwhile")

// advance is update for the driver, which works on one revision.
func (s *Service) advance(ctx context.Context, p *pod, revision uint64, change func(*Record)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec.Revision != revision || p.rec.State == StateDeleting {
		return errOvertaken
	}
	return s.change(ctx, p, change)
}

// update changes the record in the store first and then in memory. change
// works on a copy; when it or the store fails, nothing has changed.
func (s *Service) update(ctx context.Context, p *pod, change func(*Record)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.change(ctx, p, change)
}

// change is update. The caller holds p.mu.
func (s *Service) change(ctx context.Context, p *pod, change func(*Record)) error {
	if p.removed {
		return status.New(status.NotFound, "pod.unknown", "pod %q was deleted meanwhile", p.rec.Name)
	}
	next := p.rec
	change(&next)
	// Nobody will open the secrets of a pod that is being deleted.
	next.Locked = next.Locked && next.State != StateDeleting
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
	if next.Revision != p.rec.Revision {
		// What was known of the old revision says nothing about this one.
		p.failure, p.progress, p.health = nil, Progress{Stage: StageAccepted}, ""
		clear(p.restarts)
		clear(p.waiting)
	}
	p.rec = next
	p.wake()
	return nil
}

// fails notes why a revision failed, unless it is not current any more.
func (p *pod) fails(revision uint64, why *status.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec.Revision == revision && p.rec.State != StateDeleting {
		p.failure = why
		p.wake()
	}
}

// failed is why the current revision failed, nil when it did not.
func (p *pod) failed() *status.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// publish replaces the pod's routes and remembers where they lead. They never
// lead back from a newer revision.
func (s *Service) publish(p *pod, rec Record, backends []Backend) error {
	p.routes.Lock()
	defer p.routes.Unlock()
	if rec.Revision < p.routed {
		return errOvertaken
	}
	if err := s.cfg.Routes.Publish(rec.ID, rec.Endpoints, backends); err != nil {
		return err
	}
	p.published, p.routed = backends, rec.Revision
	return nil
}

// narrow takes the backends out of a pod's routes that are not among what
// runs. It comes before an instance is removed: its address may be another
// pod's a moment later, and must not get this one's traffic.
func (s *Service) narrow(p *pod, rec Record, have []Instance) {
	here := map[string]bool{}
	for _, i := range have {
		here[i.IP] = p.owns(i.ID) && running(i)
	}
	p.routes.Lock()
	left := slices.DeleteFunc(slices.Clone(p.published), func(b Backend) bool { return !here[b.Addr] })
	same := len(left) == len(p.published)
	p.routes.Unlock()
	if same {
		return
	}
	if err := s.publish(p, rec, left); err != nil && !errors.Is(err, errOvertaken) {
		s.log.Warn("taking instances out of the routes", "pod", rec.ID, "err", err)
		s.cfg.Routes.Withdraw(rec.ID)
		p.routes.Lock()
		p.published = nil
		p.routes.Unlock()
	}
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
