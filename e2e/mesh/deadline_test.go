package mesh

import (
	"context"
	"sync"
)

// deadline is a context whose time is over when the test says so.
type deadline struct {
	context.Context
	over chan struct{}
	pass func()
}

func newDeadline(parent context.Context) *deadline {
	d := &deadline{Context: parent, over: make(chan struct{})}
	d.pass = sync.OnceFunc(func() { close(d.over) })
	return d
}

// Done is closed by pass, and not by the parent.
func (d *deadline) Done() <-chan struct{} { return d.over }

// Err says that the time is over once it is.
func (d *deadline) Err() error {
	select {
	case <-d.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
