package ingress

import (
	"context"
	"sync"
	"time"

	"apocryph/proto/status"
)

const (
	// maxQueue bounds who waits for evidence, and maxQueuePerClient those of one
	// client. One quote of a hardware TPM takes up to half a second, so that the
	// last in the queue waits about as long as a client's patience.
	maxQueue          = 32
	maxQueuePerClient = 4
	// burst is how much evidence a client may ask for at once, refill how often it
	// may ask for one more: a user wants one per visit.
	burst  = 10
	refill = 2 * time.Second
	// maxClients bounds the clients that are remembered, against a flood from
	// many addresses. A client is forgotten when its burst is full again.
	maxClients = 8192
)

// turnstile lets one at a time through, first come first served: the device
// makes one quote at a time, and a publisher who attests waits for one at most.
type turnstile struct {
	now  func() time.Time
	gate chan struct{}

	mu      sync.Mutex // guards what follows
	waiting int
	clients map[string]*visitor
}

// visitor is a client that asked lately.
type visitor struct {
	waiting int
	// spent is what is used of the burst, as of at.
	spent float64
	at    time.Time
}

func newTurnstile(now func() time.Time) *turnstile {
	return &turnstile{now: now, gate: make(chan struct{}, 1), clients: map[string]*visitor{}}
}

// enter waits for a turn; leave must follow. Who asks too much is refused at
// once: resource_exhausted, reason "endpoint.busy".
func (t *turnstile) enter(ctx context.Context, client string) (leave func(), err error) {
	if err := t.queue(client); err != nil {
		return nil, err
	}
	defer t.unqueue(client)
	select {
	case t.gate <- struct{}{}:
		return func() { <-t.gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *turnstile) queue(client string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	v := t.clients[client]
	if v == nil {
		if len(t.clients) >= maxClients {
			t.sweep(now)
		}
		if len(t.clients) >= maxClients {
			return busy("too many clients ask for evidence", refill)
		}
		v = &visitor{at: now}
		t.clients[client] = v
	}
	v.settle(now)
	switch {
	case v.spent+1 > burst:
		return busy("this client asks for too much evidence", time.Duration((v.spent+1-burst)*float64(refill)))
	case v.waiting >= maxQueuePerClient:
		return busy("this client has too many requests under way", refill)
	case t.waiting >= maxQueue:
		return busy("too many ask for evidence at this moment", refill)
	}
	v.spent++
	v.waiting++
	t.waiting++
	return nil
}

func (t *turnstile) unqueue(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
	t.clients[client].waiting--
}

// sweep forgets who may ask for a whole burst again.
func (t *turnstile) sweep(now time.Time) {
	for name, v := range t.clients {
		if v.settle(now); v.spent == 0 && v.waiting == 0 {
			delete(t.clients, name)
		}
	}
}

// settle gives back what the time since has refilled.
func (v *visitor) settle(now time.Time) {
	v.spent = max(0, v.spent-float64(now.Sub(v.at))/float64(refill))
	v.at = now
}

func busy(why string, after time.Duration) error {
	return status.New(status.ResourceExhausted, "endpoint.busy", "%s", why).WithRetryAfter(max(after, time.Second)).
		WithHint("evidence is good for minutes: keep what was verified")
}
