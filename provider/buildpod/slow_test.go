package buildpod

import (
	"context"
	"sync/atomic"
	"testing"

	"apocryph/provider"
)

// busy is a runtime that is too slow to say how its instances are, a few times.
type busy struct {
	Runtime
	left *atomic.Int32
}

func (b busy) List(ctx context.Context) ([]provider.Instance, error) {
	if b.left.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return b.Runtime.List(ctx)
}

// TestBusyRuntime: a job goes on where the runtime does not answer in time.
func TestBusyRuntime(t *testing.T) {
	w := newWorld(t)
	var left atomic.Int32
	left.Store(3)
	p := w.pods(func(c *Config) { c.Runtime = busy{c.Runtime, &left} })
	if got := w.run(p, w.job("one", "echo", "done")); got != "done\n" {
		t.Errorf("it wrote %q", got)
	}
	if left.Load() >= 0 {
		t.Error("nobody asked")
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
