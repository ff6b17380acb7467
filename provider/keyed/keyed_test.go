package keyed

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLocks(t *testing.T) {
	var k Locks
	free, err := k.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if other, err := k.Lock(t.Context(), "b"); err != nil {
		t.Fatal(err)
	} else {
		other()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := k.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock was given: %v", err)
	}
	free()
	again, err := k.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if len(k.locks) != 0 {
		t.Errorf("%d locks are remembered", len(k.locks))
	}
}
