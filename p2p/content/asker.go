package content

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apocryph/proto/status"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// tries is how often a peer is asked when nothing arrives from it.
	tries = 3
	// busyTries is the same while it says that it is busy.
	busyTries = 30
)

// asker goes through the sources of one fetch: the named peers, then anyone.
type asker struct {
	s      *Store
	peers  []peer.ID
	anyone bool
	// missing reports whether anything still lacks.
	missing func(context.Context) (bool, error)
	peer    func(context.Context, peer.ID) error
	network func(context.Context) error
	// arrived is the number of bytes so far, which tells progress.
	arrived func() int64
}

func (a asker) run(ctx context.Context) error {
	more, err := a.missing(ctx)
	if err != nil || !more {
		return final(err)
	}
	var last error
	for _, p := range a.peers {
		if a.s.cfg.Host == nil || p == a.s.cfg.Host.ID() {
			continue
		}
		if last = a.insist(ctx, p); last == nil || ctx.Err() != nil || errors.As(last, &local{}) {
			return final(last)
		}
		// What came before the fault was verified, and may have been all.
		if more, err := a.missing(ctx); err != nil || !more {
			return final(err)
		}
		a.s.log.Debug("a peer did not bring content", "peer", p, "error", last)
	}
	if a.anyone {
		err := a.network(ctx)
		if err == nil || ctx.Err() != nil || errors.As(err, &local{}) || last == nil {
			return final(err)
		}
	}
	if last == nil {
		return status.New(status.Unavailable, "content.no_source", "nobody was named who has this content")
	}
	return final(last)
}

// insist asks one peer again while that brings something, or may.
func (a asker) insist(ctx context.Context, p peer.ID) error {
	for n, busy := 0, 0; ; n++ {
		before := a.arrived()
		err := a.peer(ctx, p)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if a.arrived() > before {
			n = 0
		}
		wait := time.Duration(n+1) * 250 * time.Millisecond
		var refusal *status.Error
		switch {
		case errors.As(err, &local{}), errors.As(err, &lie{}):
			return err
		case errors.As(err, &refusal):
			if !refusal.Code.Retryable() {
				return err
			}
			wait = max(wait, min(refusal.RetryAfter, 5*time.Second))
			if busy++; refusal.Code == status.ResourceExhausted && busy < busyTries {
				n = 0
			}
		}
		if n+1 >= tries {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// final classes the error that a fetch ends with.
func final(err error) error {
	var l lie
	var e *status.Error
	switch {
	case err == nil, errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &l):
		return status.Wrap(err, status.Untrusted, "content.wrong", "a peer sent wrong content")
	}
	return status.Wrap(fmt.Errorf("asking a peer: %w", err), status.Unavailable, "content.unavailable", "the content did not arrive").
		WithHint("check that the peer is up and try again: what arrived is kept")
}
