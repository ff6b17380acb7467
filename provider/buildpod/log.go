package buildpod

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"apocryph/provider"
)

const (
	// lastLines are kept for the error, and at most lastLine bytes of each.
	lastLines = 30
	lastLine  = 1 << 10
	// quietTime is how long a log says nothing before its end is believed: its writer
	// is a moment behind the command, and its reader looks every 200 ms.
	quietTime = 300 * time.Millisecond
	// settleTime bounds the wait for that.
	settleTime = 3 * time.Second
)

// capture is what a job writes to its log.
type capture struct {
	w      io.Writer
	left   uint64
	cancel context.CancelFunc
	done   chan struct{}
	wrote  chan struct{}

	mu    sync.Mutex
	lines []string
	cut   bool
}

// capture follows the log of a job until stop.
func (p *Pods) capture(ctx context.Context, j *job) *capture {
	ctx, cancel := context.WithCancel(ctx)
	c := &capture{w: j.Log, left: j.limits.LogBytes, cancel: cancel, done: make(chan struct{}), wrote: make(chan struct{}, 1)}
	if c.w == nil {
		c.w = io.Discard
	}
	go func() {
		defer close(c.done)
		err := p.cfg.Runtime.ReadLogs(ctx, provider.LogQuery{Instance: j.id, Container: container, Follow: true}, c.add)
		if err != nil && ctx.Err() == nil {
			p.log.Warn("reading the log of a build", "instance", j.id, "err", err)
		}
	}()
	return c
}

// add takes a line. What is beyond the limit is read and dropped, so that the
// last lines are those of the end. A writer that fails loses the rest only.
func (c *capture) add(l provider.LogLine) error {
	select {
	case c.wrote <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, string(l.Text[:min(len(l.Text), lastLine)]))
	c.lines = c.lines[max(0, len(c.lines)-lastLines):]
	if c.cut {
		return nil
	}
	if n := uint64(len(l.Text)) + 1; n <= c.left {
		c.left -= n
		_, _ = fmt.Fprintf(c.w, "%s\n", l.Text)
		return nil
	}
	c.cut = true
	_, _ = fmt.Fprintln(c.w, "[the log is longer than a build may write: the rest is left out]")
	return nil
}

// settle waits until all that a command has written is here.
func (c *capture) settle(ctx context.Context, quiet time.Duration) {
	stop := time.NewTimer(settleTime)
	defer stop.Stop()
	still := time.NewTimer(quiet)
	defer still.Stop()
	for {
		select {
		case <-c.wrote:
			still.Reset(quiet)
		case <-still.C:
			return
		case <-stop.C:
			return
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *capture) stop() { c.cancel(); <-c.done }

func (c *capture) last() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}
