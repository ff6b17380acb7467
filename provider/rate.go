package provider

import (
	"maps"
	"sync"
	"time"

	"apocryph/proto/status"
)

// Entries of the transparency log stay for ever, and a stranger makes one with
// each attestation: without a bound on their number the disk fills. An entry and
// its hashes take about 250 bytes, so that at the total rate the log grows by
// 90 MB a day; see docs/decisions/0013-transparency-log-growth.md.
const (
	// totalBurst entries may come at once, and one more each totalEvery.
	totalBurst = 4096
	totalEvery = 250 * time.Millisecond
	// peerBurst and peerEvery are the same for one publisher, who has to leave
	// something for others. It may make as many identities as it likes, so that
	// this only divides what the total bounds.
	peerBurst = 512
	peerEvery = 2 * time.Second
	// sweepAbove is how many publishers are remembered before those are forgotten
	// who have all of their burst again.
	sweepAbove = 1024
)

// rate bounds the entries of the transparency log. The zero value is full.
type rate struct {
	mu    sync.Mutex // guards all
	total bucket
	peers map[PublisherID]bucket
	// sweepAt is how many peers there are when they are swept next.
	sweepAt int
}

// bucket is when a token bucket is full again; it has everything before (the
// generic cell rate algorithm, ITU-T I.371).
type bucket time.Time

// take returns the bucket without a token, or how long to wait for one.
func (b bucket) take(now time.Time, burst int, every time.Duration) (bucket, time.Duration) {
	full := time.Time(b)
	// A clock that was set back must not lock anybody out for longer than a burst.
	if most := now.Add(time.Duration(burst) * every); full.Before(now) || full.After(most) {
		full = now
	}
	full = full.Add(every)
	return bucket(full), full.Sub(now) - time.Duration(burst)*every
}

// take allows a publisher one entry, or is resource_exhausted "attest.rate" with
// the time to wait.
func (r *rate) take(publisher PublisherID, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	total, wait := r.total.take(now, totalBurst, totalEvery)
	if wait > 0 {
		return tooFast(wait, "this provider attests as often as its transparency log may grow")
	}
	own, wait := r.peers[publisher].take(now, peerBurst, peerEvery)
	if wait > 0 {
		return tooFast(wait, "you have attested this provider as often as one publisher may")
	}
	if r.peers == nil {
		r.peers = map[PublisherID]bucket{}
		r.sweepAt = sweepAbove
	}
	if len(r.peers) >= r.sweepAt {
		maps.DeleteFunc(r.peers, func(_ PublisherID, b bucket) bool { return !now.Before(time.Time(b)) })
		r.sweepAt = max(sweepAbove, 2*len(r.peers))
	}
	r.total, r.peers[publisher] = total, own
	return nil
}

func tooFast(wait time.Duration, text string) error {
	return status.New(status.ResourceExhausted, "attest.rate", "%s", text).
		WithRetryAfter(max(wait, time.Second)).WithHint("use the attestation that you have, or wait")
}
