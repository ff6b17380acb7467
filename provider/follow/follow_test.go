package follow

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestEvents: each once and in order, from any number on; the end, an error and the
// context stop it.
func TestEvents(t *testing.T) {
	const last = 4
	changed := make(chan struct{})
	close(changed)
	known := uint64(1)
	look := func(after uint64) View[uint64] {
		v := View[uint64]{Ended: known == last, Seq: known, Changed: changed, Result: func(seq uint64) uint64 { return seq }}
		for n := after + 1; n <= known; n++ {
			v.News = append(v.News, n)
		}
		known = min(known+1, last)
		return v
	}
	number := func(n uint64) (uint64, bool) { return n, n == last }
	read := func(ctx context.Context, after uint64, fail error) ([]uint64, error) {
		var got []uint64
		err := Events(ctx, after, look, number, func(n uint64) error {
			got = append(got, n)
			return fail
		})
		return got, err
	}
	for _, c := range []struct {
		after uint64
		want  []uint64
	}{{0, []uint64{1, 2, 3, 4}}, {2, []uint64{3, 4}}, {4, nil}} {
		if got, err := read(t.Context(), c.after, nil); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("after %d: %v, %v", c.after, got, err)
		}
	}
	stop := errors.New("enough")
	if got, err := read(t.Context(), 0, stop); !errors.Is(err, stop) || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	// It ended before this process began: there is the result alone.
	over := func(uint64) View[uint64] {
		return View[uint64]{Ended: true, Seq: 7, Result: func(seq uint64) uint64 { return seq }}
	}
	var got []uint64
	if err := Events(t.Context(), 0, over, number, func(n uint64) error { got = append(got, n); return nil }); err != nil || !slices.Equal(got, []uint64{7}) {
		t.Errorf("got %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	quiet := func(uint64) View[uint64] { return View[uint64]{Changed: make(chan struct{})} }
	if err := Events(ctx, 0, quiet, number, func(uint64) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
