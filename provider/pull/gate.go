package pull

import (
	"context"
	"sync"

	"apocryph/proto/status"
)

// gate lets nobody pass until all have come, and then everybody; or nobody, when
// one did not come.
type gate struct {
	mu      sync.Mutex
	missing int
	open    chan struct{}
	err     error
}

func newGate(n int) *gate { return &gate{missing: n, open: make(chan struct{})} }

// visitor is one who is expected.
type visitor struct {
	g    *gate
	once sync.Once
}

func (g *gate) visitor() *visitor { return &visitor{g: g} }

// wait says that the visitor is here, and returns when all are.
func (v *visitor) wait(ctx context.Context) error {
	v.once.Do(func() { v.g.count(nil) })
	select {
	case <-v.g.open:
		return v.g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave says that the visitor will not come, unless it was here.
func (v *visitor) leave(err error) {
	v.once.Do(func() { v.g.count(err) })
}

func (g *gate) count(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.missing--; g.missing < 0 || g.err != nil {
		return
	}
	if err != nil {
		g.err = status.New(status.Conflict, "sync.aborted", "another app of the same commit could not be built")
		close(g.open)
		return
	}
	if g.missing == 0 {
		close(g.open)
	}
}
