package mesh

import (
	"sync"
	"testing"
	"time"

	"apocryph/provider/providerd"
)

// clock is a provider's, ahead of the real one by what the test has passed.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// newClockedHost is a provider whose clock the test moves.
func newClockedHost(t *testing.T) (*host, *clock) {
	t.Helper()
	c := &clock{}
	return newHost(t, func(cfg *providerd.Config) { cfg.Now = c.now }), c
}
