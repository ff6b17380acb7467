package httpapi

import (
	"sync"
	"time"

	"apocryph/proto/status"
)

// gate bounds calls that take long, in all and for one caller.
type gate struct {
	mu      sync.Mutex
	most    int
	running int
	by      map[string]int
}

func newGate(most int) *gate { return &gate{most: most, by: map[string]int{}} }

// enter lets a caller in, or refuses at once: a queue would keep the connection,
// which is what is to be saved.
func (g *gate) enter(subject string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own := max(1, g.most/4); g.running >= g.most || g.by[subject] >= own {
		return nil, status.New(status.Unavailable, "api.busy", "too many long calls run at once").WithRetryAfter(5 * time.Second)
	}
	g.running++
	g.by[subject]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		if g.by[subject]--; g.by[subject] == 0 {
			delete(g.by, subject)
		}
	}), nil
}
