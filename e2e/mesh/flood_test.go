package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"apocryph/attest"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/peerclient"
)

// crowd is how many publishers come at once: four times as many as calls are
// served at once and twice as many as are refused politely. Each is a libp2p
// host of its own.
const crowd = 256

// walkIn makes the smallest host there is and connects it.
func walkIn(t *testing.T, to peer.AddrInfo) p2phost.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	must(t, h.Connect(t.Context(), to))
	return h
}

// once attests a provider over a host; nothing is verified.
func once(ctx context.Context, h p2phost.Host, to peer.ID) error {
	ch := attest.Challenge{Purpose: attest.PurposeProvision, ProviderPeer: []byte(to)}
	copy(ch.Nonce[:], fmt.Sprint(time.Now().UnixNano()))
	_, err := peerclient.New(h).Attest(ctx, publisher.ProviderID(to.String()), publisher.AttestRequest{Challenge: ch, Tree: &publisher.TreeRequest{}}, nil)
	return err
}

// toldToWait is how long a refusal asks to wait; false for whatever else ended a
// call.
func toldToWait(err error) (time.Duration, bool) {
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.ResourceExhausted || e.RetryAfter <= 0 {
		return 0, false
	}
	return e.RetryAfter, true
}

// TestCrowd: many publishers attest one provider at once while one of them
// wants all of it. Each is served, or told when to come back and served then.
func TestCrowd(t *testing.T) {
	h := newHost(t)
	to, err := peer.AddrInfoFromString(h.info.Addrs[0])
	must(t, err)
	hosts := make([]p2phost.Host, crowd)
	for i := range hosts {
		hosts[i] = walkIn(t, *to)
	}
	greedy := walkIn(t, *to)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var greed sync.WaitGroup
	sated, stop := context.WithCancel(ctx)
	var greedyRefused atomic.Int64
	for range 16 {
		greed.Go(func() {
			for sated.Err() == nil {
				if _, ok := toldToWait(once(sated, greedy, to.ID)); ok {
					greedyRefused.Add(1)
				}
			}
		})
	}
	var group sync.WaitGroup
	var served, refusals, most atomic.Int64
	begin := make(chan struct{})
	for _, h := range hosts {
		group.Go(func() {
			<-begin
			for tries := int64(1); ; tries++ {
				err := once(ctx, h, to.ID)
				if err == nil {
					served.Add(1)
					for m := most.Load(); tries > m && !most.CompareAndSwap(m, tries); m = most.Load() {
					}
					return
				}
				wait, ok := toldToWait(err)
				if !ok {
					t.Errorf("dropped: %v", err)
					return
				}
				refusals.Add(1)
				timer := time.NewTimer(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					t.Error("not served in time")
					timer.Stop()
					return
				}
			}
		})
	}
	close(begin)
	group.Wait()
	stop()
	greed.Wait()
	t.Logf("%d of %d served, %d refusals, at most %d tries; the greedy one was refused %d times", served.Load(), crowd, refusals.Load(), most.Load(), greedyRefused.Load())
	if served.Load() != crowd {
		t.Errorf("%d of %d were served", served.Load(), crowd)
	}
	if most.Load() > 8 {
		t.Errorf("one publisher had to try %d times", most.Load())
	}
	if greedyRefused.Load() == 0 {
		t.Error("the greedy one got all that it wanted")
	}
}
