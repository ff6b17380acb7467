package buildpod

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"apocryph/proto/status"
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

// patient is a runtime that starts nothing in a time that is over.
type patient struct{ Runtime }

func (r patient) Start(ctx context.Context, id provider.InstanceID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.Runtime.Start(ctx, id)
}

// TestStartIsNoTime: what a start takes is not the command's time.
func TestStartIsNoTime(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.Runtime = patient{c.Runtime} })
	j := w.job("one", "sleep")
	j.Time = time.Nanosecond
	if err := p.Run(t.Context(), j); status.ReasonOf(err) != "build.time" {
		t.Errorf("got %v, want build.time", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
