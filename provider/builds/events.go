package builds

import (
	"context"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/follow"
)

// maxEvents bounds the events of one build that can be read again: lines of its log
// are among them.
const maxEvents = 1024

// Event is one thing that happened to a build.
type Event struct {
	// Seq grows by one from 1, over restarts as well; lines that were not followed by
	// a stored event when a process ended give their numbers to others.
	Seq uint64 `json:"seq"`
	// Kind is "status", "log" or "result"; the last one is a result.
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	// Text is a line of the log.
	Text string `json:"text,omitempty"`
	// Build is set in status and result events.
	Build *Build `json:"build,omitempty"`
}

// tell adds an event. The caller holds j.mu.
func (j *job) tell(e Event) {
	j.seq++
	e.Seq = j.seq
	if len(j.events) >= 2*maxEvents {
		j.events = append([]Event(nil), j.events[len(j.events)-maxEvents:]...)
	}
	j.events = append(j.events, e)
	close(j.changed)
	j.changed = make(chan struct{})
}

// since are the events after a number. The caller holds j.mu.
func (j *job) since(after uint64) []Event {
	first := j.seq - uint64(len(j.events))
	if after <= first {
		return j.events[:len(j.events):len(j.events)]
	}
	if after >= j.seq {
		return nil
	}
	return j.events[after-first : len(j.events) : len(j.events)]
}

// Watch calls fn for each event after the given number, and returns after the last
// one, or when ctx ends, or with fn's error. Events that are not kept any more are
// left out.
func (q *Queue) Watch(ctx context.Context, namespace, id string, after uint64, fn func(Event) error) error {
	j, err := q.find(namespace, id)
	if err != nil {
		return err
	}
	look := func(after uint64) follow.View[Event] {
		j.mu.Lock()
		defer j.mu.Unlock()
		now := j.now
		return follow.View[Event]{News: j.since(after), Ended: j.told, Seq: j.seq, Changed: j.changed, Result: func(seq uint64) Event {
			return Event{Seq: seq, Kind: "result", At: *now.Finished, Build: &now}
		}}
	}
	return follow.Events(ctx, after, look, func(e Event) (uint64, bool) { return e.Seq, e.Kind == "result" }, fn)
}

func (q *Queue) find(namespace, id string) (*job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.jobs[id]
	if j == nil || namespace != everywhere && j.ns != namespace {
		return nil, status.New(status.NotFound, "build.unknown", "there is no build %.80q", id)
	}
	return j, nil
}
