package content

import (
	"math/rand/v2"
	"testing"
)

func TestSpans(t *testing.T) {
	const size = 60
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s spans
		var set [size + 1]bool
		for range 20 {
			from := r.Int64N(size)
			to := from + r.Int64N(size-from+1)
			s.add(from, to)
			for i := from; i < to; i++ {
				set[i] = true
			}
			for i := 1; i < len(s); i++ {
				if s[i-1].to >= s[i].from {
					t.Fatalf("not sorted apart: %v", s)
				}
			}
			var sum, prefix int64
			for i := range int64(size) {
				if set[i] {
					sum++
				}
				if set[i] && prefix == i {
					prefix++
				}
			}
			if s.sum() != sum || s.prefix() != prefix {
				t.Fatalf("%v: sum %d, prefix %d, want %d, %d", s, s.sum(), s.prefix(), sum, prefix)
			}
			from = r.Int64N(size)
			to = from + r.Int64N(size-from+1)
			all, some := true, false
			for i := from; i < to; i++ {
				all, some = all && set[i], some || set[i]
			}
			if s.covers(from, to) != all || s.touches(from, to) != some {
				t.Fatalf("%v: [%d, %d) covers %v, touches %v", s, from, to, s.covers(from, to), s.touches(from, to))
			}
		}
	}
}
