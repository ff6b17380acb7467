package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopBudget is how long one component may take to stop. What hangs is named.
const stopBudget = 20 * time.Second

// Stack is what runs. Its methods are called from one goroutine.
type Stack struct {
	log     *slog.Logger
	running []*component
	// failed gets the first component that ended by itself.
	failed chan *component
}

type component struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	// told is set once Start or Wait has returned err.
	told bool
}

// New makes an empty stack.
func New(log *slog.Logger) *Stack {
	return &Stack{log: log, failed: make(chan *component, 64)}
}

// Start runs a component and waits until it is ready; nil is ready at once.
func (s *Stack) Start(ctx context.Context, name string, ready <-chan struct{}, run func(context.Context) error) error {
	cctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &component{name: name, cancel: cancel, done: make(chan struct{})}
	s.running = append(s.running, c)
	go func() { // joined by Stop
		c.err = run(cctx)
		close(c.done)
		s.failed <- c
	}()
	if ready == nil {
		return nil
	}
	select {
	case <-ready:
		return nil
	case <-c.done:
		return c.tell("starting", "it ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Wait blocks until ctx ends, with nil, or a component ends by itself.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case c := <-s.failed:
		return c.tell("running", "it ended without being asked to")
	}
}

// Stop ends every component, the last started first, and joins it.
func (s *Stack) Stop() error {
	var errs []error
	for i := len(s.running) - 1; i >= 0; i-- {
		c := s.running[i]
		c.cancel()
		budget := time.NewTimer(stopBudget)
		select {
		case <-c.done:
			if c.err != nil && !c.told && !errors.Is(c.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("stopping the %s: %w", c.name, c.err))
			}
		case <-budget.C:
			s.log.Error("a component does not stop", "component", c.name, "budget", stopBudget)
			errs = append(errs, fmt.Errorf("stopping the %s: it did not end within %s", c.name, stopBudget))
		}
		budget.Stop()
	}
	s.running = nil
	return errors.Join(errs...)
}

func (c *component) tell(doing, silent string) error {
	c.told = true
	if c.err == nil {
		return fmt.Errorf("%s the %s: %s", doing, c.name, silent)
	}
	return fmt.Errorf("%s the %s: %w", doing, c.name, c.err)
}
