package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder notes what happened in which order.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) note(e string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) component(name string, ready chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		r.note("start " + name)
		if ready != nil {
			close(ready)
		}
		<-ctx.Done()
		r.note("stop " + name)
		return nil
	}
}

func TestStackStopsFromTheTop(t *testing.T) {
	var r recorder
	st := New(slog.New(slog.DiscardHandler))
	for _, name := range []string{"a", "b", "c"} {
		ready := make(chan struct{})
		if err := st.Start(t.Context(), name, ready, r.component(name, ready)); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}
	if !slices.Equal(r.events, want) {
		t.Errorf("got %v, want %v", r.events, want)
	}
}

func TestStartFailsWithTheComponent(t *testing.T) {
	st := New(slog.New(slog.DiscardHandler))
	cause := errors.New("no such device")
	err := st.Start(t.Context(), "disk", make(chan struct{}), func(context.Context) error { return cause })
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "disk") {
		t.Errorf("got %v, want an error that names the disk and its cause", err)
	}
	if err := st.Stop(); err != nil {
		t.Errorf("stop says again what start said: %v", err)
	}
}

func TestWaitNamesWhoEnded(t *testing.T) {
	st := New(slog.New(slog.DiscardHandler))
	ended := make(chan struct{})
	if err := st.Start(t.Context(), "steady", nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); err != nil {
		t.Fatal(err)
	}
	if err := st.Start(t.Context(), "brittle", nil, func(context.Context) error { <-ended; return nil }); err != nil {
		t.Fatal(err)
	}
	close(ended)
	if err := st.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "brittle") {
		t.Errorf("got %v, want an error that names the brittle one", err)
	}
	if err := st.Stop(); err != nil {
		t.Errorf("a canceled component is no failure: %v", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st := New(slog.New(slog.DiscardHandler))
	cancel()
	if err := st.Wait(ctx); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	var r recorder
	if err := st.Start(ctx, "late", make(chan struct{}), r.component("late", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := st.Stop(); err != nil {
		t.Error(err)
	}
}
