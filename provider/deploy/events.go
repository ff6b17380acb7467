package deploy

import (
	"context"
	"slices"
	"sync"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/follow"
)

// maxEvents bounds the events of one deployment that can be read again.
const maxEvents = 512

// deployment is one deployment in this process.
type deployment struct {
	id, appID, namespace string
	created              time.Time
	// request is the caller's id, order that of the pod.
	request, order [16]byte
	// pending is set for one that is built from source, before it is stored.
	pending *pending

	mu     sync.Mutex // guards what follows
	now    Deployment
	events []Event
	seq    uint64
	// changed is closed and replaced with each event.
	changed chan struct{}
	// cancel ends the work; nil when there is none. placed is set when the order
	// went to the core, which carries it out whatever happens here.
	cancel    context.CancelFunc
	placed    bool
	cancelled bool
	// attaching says that a build is being submitted for it.
	attaching bool
	// told is set when the end has been.
	told bool
}

func newDeployment(now Deployment) *deployment {
	appID := now.AppID
	if appID == "" {
		// A group is of its namespace; no app has such an id.
		appID = "group of " + now.Namespace
	}
	return &deployment{id: now.ID, appID: appID, namespace: now.Namespace, created: now.Created, now: now, changed: make(chan struct{}), told: now.Status.Ended()}
}

func (d *deployment) get() Deployment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// tell adds an event. The caller holds d.mu.
func (d *deployment) tell(e Event) {
	d.seq++
	e.Seq = d.seq
	if len(d.events) == maxEvents {
		d.events = d.events[1:]
	}
	d.events = append(d.events, e)
	close(d.changed)
	d.changed = make(chan struct{})
}

// update stores a change and then tells of it. Where it cannot be stored nothing
// has changed, unless it is the end: that is told in any case.
func (o *Orchestrator) update(ctx context.Context, d *deployment, change func(*Deployment)) error {
	d.mu.Lock()
	next := d.now
	// Those who were told of it have the earlier ones.
	next.Results = slices.Clone(next.Results)
	change(&next)
	next.Updated = o.cfg.Now()
	err := o.keep(ctx, d, next, d.seq+1)
	if err != nil && !next.Status.Ended() {
		d.mu.Unlock()
		return err
	}
	d.now = next
	d.mu.Unlock()
	kind := "status"
	if next.Status.Ended() {
		kind = "result"
		// Names lead to it, and its artifact is held, before anybody hears of it.
		o.refresh()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = next.Status.Ended()
	view := next
	d.tell(Event{Kind: kind, At: next.Updated, Deployment: &view})
	return err
}

// progress tells of progress, which is not stored.
func (o *Orchestrator) progress(d *deployment, stage string, done, total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.Status.Ended() {
		return
	}
	d.now.Stage = stage
	d.tell(Event{Kind: "progress", At: o.cfg.Now(), Text: stage, Done: done, Total: total})
}

// Watch calls fn for each event after the given number, and returns after the last
// one. Events that are not kept any more are left out.
func (o *Orchestrator) Watch(ctx context.Context, namespace, id string, after uint64, fn func(Event) error) error {
	d, err := o.find(namespace, id)
	if err != nil {
		return err
	}
	look := func(after uint64) follow.View[Event] {
		d.mu.Lock()
		defer d.mu.Unlock()
		now := d.now
		v := follow.View[Event]{Ended: d.told, Seq: d.seq, Changed: d.changed, Result: func(seq uint64) Event {
			return Event{Seq: seq, Kind: "result", At: now.Updated, Deployment: &now}
		}}
		for _, e := range d.events {
			if e.Seq > after {
				v.News = append(v.News, e)
			}
		}
		return v
	}
	return follow.Events(ctx, after, look, func(e Event) (uint64, bool) { return e.Seq, e.Kind == "result" }, fn)
}

func (o *Orchestrator) find(namespace, id string) (*deployment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.deployments[id]
	if d == nil || namespace != everywhere && d.namespace != namespace {
		return nil, status.New(status.NotFound, "deployment.unknown", "there is no deployment %.80q", id)
	}
	return d, nil
}
