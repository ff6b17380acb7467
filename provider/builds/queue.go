package builds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"apocryph/proto/status"
)

// sweepEvery is how often it is looked which artifacts are still there.
const sweepEvery = time.Minute

// Queue is the builds of a provider. Make it with [New]; it works while Run runs.
type Queue struct {
	cfg   Config
	ready chan struct{}
	// wake has a token when there may be something to do.
	wake chan struct{}
	// saying is held while it is decided which image is spoken of.
	saying sync.Mutex

	mu sync.Mutex // guards what follows
	// running says that Run runs.
	running bool
	jobs    map[string]*job
	// requests are ids by request id, made ids by artifact.
	requests map[[16]byte]string
	made     map[string]string
	// waiting are queued builds by namespace, the first one first; last is the
	// namespace that was served last.
	waiting map[string][]*job
	last    string
	// arriving counts submissions that are being stored, by namespace.
	arriving map[string]int
}

// New checks the configuration. It starts nothing and touches no disk.
func New(cfg Config) (*Queue, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Queue{
		cfg: cfg, ready: make(chan struct{}), wake: make(chan struct{}, cfg.Workers),
		jobs: map[string]*job{}, requests: map[[16]byte]string{}, made: map[string]string{}, waiting: map[string][]*job{}, arriving: map[string]int{},
	}, nil
}

// Ready is closed when what was kept is known and requests are served.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Run loads what was kept and carries out builds until ctx ends. What runs then is
// begun again by the next Run.
func (q *Queue) Run(ctx context.Context) error {
	if err := os.MkdirAll(q.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making room for builds: %w", err)
	}
	if err := q.load(ctx); err != nil {
		return fmt.Errorf("loading builds: %w", err)
	}
	q.mu.Lock()
	q.running = true
	q.mu.Unlock()
	close(q.ready)
	var wg sync.WaitGroup
	for range q.cfg.Workers {
		wg.Go(func() { q.worker(ctx) })
	}
	wg.Go(func() { q.sweeper(ctx) })
	<-ctx.Done()
	q.mu.Lock()
	q.running = false
	q.mu.Unlock()
	wg.Wait()
	return nil
}

// errStopping refuses what comes before Run or after.
func errStopping() error {
	return status.New(status.Unavailable, "provider.starting", "this provider is starting or stopping").WithRetryAfter(2 * time.Second)
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue) worker(ctx context.Context) {
	for ctx.Err() == nil {
		if j := q.next(); j != nil {
			q.carryOut(ctx, j)
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
}

// next takes the first build of the namespace after the one that was served last.
func (q *Queue) next() *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	var names []string
	for ns := range q.waiting {
		names = append(names, ns)
	}
	slices.Sort(names)
	i, found := slices.BinarySearch(names, q.last)
	if found {
		i++
	}
	ns := names[i%len(names)]
	j := q.waiting[ns][0]
	q.leave(j)
	q.last = ns
	// Another worker may sleep over the rest.
	if len(q.waiting) > 0 {
		q.signal()
	}
	return j
}

// leave takes a build out of the queue, and reports whether it was there. The
// caller holds q.mu.
func (q *Queue) leave(j *job) bool {
	list := q.waiting[j.ns]
	i := slices.Index(list, j)
	if i < 0 {
		return false
	}
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(q.waiting, j.ns)
	} else {
		q.waiting[j.ns] = list
	}
	return true
}

// enqueue puts a build at the end of its namespace's line.
func (q *Queue) enqueue(j *job) {
	q.mu.Lock()
	q.waiting[j.ns] = append(q.waiting[j.ns], j)
	q.mu.Unlock()
	q.signal()
}

// reserve counts a build that is about to be stored against the bounds.
func (q *Queue) reserve(ns string) (free func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running {
		return nil, errStopping()
	}
	maxOwn, maxAll, counts := limits(ns)
	all := 0
	for other, list := range q.waiting {
		if counts(other) {
			all += len(list)
		}
	}
	for other, n := range q.arriving {
		if counts(other) {
			all += n
		}
	}
	if own := len(q.waiting[ns]) + q.arriving[ns]; own >= maxOwn {
		return nil, status.New(status.ResourceExhausted, "build.queue", "%d builds of namespace %s wait, the most at once", own, ns).WithRetryAfter(retryLater)
	}
	if all >= maxAll {
		return nil, status.New(status.Unavailable, "build.queue_full", "%d builds wait, the most at once", all).WithRetryAfter(retryLater)
	}
	q.arriving[ns]++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.arriving[ns]--; q.arriving[ns] == 0 {
			delete(q.arriving, ns)
		}
	}, nil
}

func (q *Queue) dir(id string) string { return filepath.Join(q.cfg.Dir, id) }

func (q *Queue) sweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := q.sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
			q.cfg.Logger.Warn("sweeping builds", "err", err)
		}
		q.sweepPeers(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
