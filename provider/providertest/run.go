package providertest

import (
	"context"
	"sync"
	"testing"
)

// Run starts a component and waits until it is ready. Stop kills it: its context ends,
// nothing is tidied, and run has returned afterwards. The end of the test does so, too.
func Run(t testing.TB, run func(context.Context) error, ready <-chan struct{}) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("it ended before it was ready: %v", err)
	}
	t.Cleanup(stop)
	return stop
}
