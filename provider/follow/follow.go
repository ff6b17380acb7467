// Package follow lets somebody read the events of something that goes on, from any
// number on and until its end: deployments and builds are watched in the same way.
package follow

import "context"

// View is what is seen of a source at one moment, under its lock.
type View[E any] struct {
	// News are the events after the last one that was told, in order.
	News []E
	// Ended says that no more will come; Seq is the number of the last event.
	Ended bool
	Seq   uint64
	// Changed is closed when there is something new.
	Changed <-chan struct{}
	// Result makes the last event of one that ended before this process began.
	Result func(seq uint64) E
}

// Events calls fn for each event after the given number, and returns after the last
// one, or when ctx ends, or with fn's error. Look sees the source; number tells of an
// event which it is, from 1, and whether it is the last.
func Events[E any](ctx context.Context, after uint64, look func(after uint64) View[E], number func(E) (seq uint64, last bool), fn func(E) error) error {
	for {
		v := look(after)
		if v.Ended && len(v.News) == 0 {
			if after >= v.Seq && after > 0 {
				return nil
			}
			return fn(v.Result(max(v.Seq, 1)))
		}
		for _, e := range v.News {
			if err := fn(e); err != nil {
				return err
			}
			last := false
			if after, last = number(e); last {
				return nil
			}
		}
		if len(v.News) > 0 {
			continue
		}
		select {
		case <-v.Changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
