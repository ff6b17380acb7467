package provider_test

import (
	"testing"
	"time"

	"apocryph/provider"
)

func TestNextProbe(t *testing.T) {
	for _, tt := range []struct{ elapsed, interval, want time.Duration }{
		{0, time.Second, 5 * time.Millisecond},
		{40 * time.Millisecond, time.Second, 5 * time.Millisecond},
		{time.Second, time.Second, 100 * time.Millisecond},
		{time.Minute, time.Second, time.Second},
		{0, time.Millisecond, time.Millisecond},
	} {
		if got := provider.NextProbe(tt.elapsed, tt.interval); got != tt.want {
			t.Errorf("after %s of %s: %s, want %s", tt.elapsed, tt.interval, got, tt.want)
		}
	}
}
