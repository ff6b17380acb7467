package builds

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"apocryph/proto/status"
)

// load reads what was kept, and puts what had not ended into the queue again.
func (q *Queue) load(ctx context.Context) error {
	all, err := q.cfg.Documents.All(ctx)
	if err != nil {
		return err
	}
	var open []*job
	for id, raw := range all {
		var k kept
		if err := json.Unmarshal(raw, &k); err != nil {
			return fmt.Errorf("reading build %s: %w", id, err)
		}
		j := newJob(k.Build)
		j.asked, j.image, j.tries, j.class, j.seq, j.key = k.Asked, k.Image, k.Tries, k.Class, k.Seq, k.Key
		copy(j.request[:], k.Request)
		q.know(j)
		if !k.Status.Ended() {
			open = append(open, j)
		}
	}
	if err := q.strays(); err != nil {
		return err
	}
	slices.SortFunc(open, func(a, b *job) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id)) })
	for _, j := range open {
		if err := q.resume(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// strays removes the directories of builds that were never acknowledged.
func (q *Queue) strays() error {
	entries, err := os.ReadDir(q.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if q.jobs[e.Name()] == nil {
			if err := os.RemoveAll(q.dir(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// resume queues a build that waited or ran when the last process ended.
func (q *Queue) resume(ctx context.Context, j *job) error {
	if j.asked.Lent {
		q.discard(ctx, j)
		err := q.fail(ctx, j, errLent())
		q.clean(j)
		return err
	}
	if j.get().Status == Running {
		if j.tries >= attempts {
			q.discard(ctx, j)
			err := q.fail(ctx, j, status.New(status.Unavailable, "build.interrupted", "the provider stopped %d times while it ran", j.tries).
				WithHint("submit it again; should it happen again, the build itself may use up the memory"))
			q.clean(j)
			return err
		}
		if err := q.update(ctx, j, (*Build).again); err != nil {
			return err
		}
	}
	q.enqueue(j)
	return nil
}
