package publisher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// errEnough ends a watch that would go on.
var errEnough = errors.New("enough")

// watched runs a watch by the world's clock. steps run one after the other
// where the watch waits; after the last it ends with errEnough. It returns the
// changes, as "what: was > now", and how long each wait was.
func watched(t *testing.T, w *world, req publisher.WatchRequest, steps ...func()) (changes []string, waits []time.Duration, err error) {
	t.Helper()
	req.Changed = func(c publisher.Change) {
		if !c.At.Equal(w.now()) {
			t.Errorf("%s is said to be of %v", c.What, c.At)
		}
		changes = append(changes, fmt.Sprintf("%s: %s > %s", c.What, c.Was, c.Now))
	}
	req.Wait = func(ctx context.Context, until time.Time) error {
		d := until.Sub(w.now())
		waits = append(waits, d)
		w.pass(d)
		if len(steps) == 0 {
			return errEnough
		}
		steps[0]()
		steps = steps[1:]
		return ctx.Err()
	}
	err = w.service().Watch(t.Context(), req)
	return changes, waits, err
}

// watchable is a provider with a running pod, and what to watch it with.
func watchable(t *testing.T) (*world, *fake, publisher.WatchRequest) {
	w := newWorld(t)
	p := w.provider("p")
	p.pods["app"] = publisher.PodStatus{Name: "app", State: "running", Revision: 1}
	given := publisher.GivenPolicy{Policy: w.policy()}
	return w, p, publisher.WatchRequest{
		App:    publisher.App{Name: "app", Provider: publisher.Target{ID: p.id}},
		Policy: func(context.Context) (publisher.GivenPolicy, error) { return given, nil },
	}
}

func TestWatchChanges(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fake, *publisher.WatchRequest)
		// want are parts of the changes, in order.
		want []string
		code status.Code
	}{
		"nothing": {func(*fake, *publisher.WatchRequest) {}, nil, 0},
		"reboot": {func(f *fake, _ *publisher.WatchRequest) {
			f.claims = func(c *attest.Claims) { c.BootEpoch = bytes.Repeat([]byte{2}, 32) }
		}, []string{"boot_epoch: 0101"}, 0},
		"pod": {func(f *fake, _ *publisher.WatchRequest) {
			f.pods["app"] = publisher.PodStatus{Name: "app", State: "failed", Reason: "it exited", Revision: 2}
		}, []string{"state: running > failed: it exited", "revision: 1 > 2"}, 0},
		"pod gone":        {func(f *fake, _ *publisher.WatchRequest) { delete(f.pods, "app") }, []string{"state: running > gone", "revision: 1 > 0"}, 0},
		"another program": {func(f *fake, _ *publisher.WatchRequest) { f.device = changed }, []string{"verdict: affirmed > denied: ATT-", "measurement: sha256:"}, status.Untrusted},
		"another machine": {func(f *fake, _ *publisher.WatchRequest) { f.device = other }, nil, status.Untrusted},
		"policy that does not fit": {func(_ *fake, r *publisher.WatchRequest) {
			given, _ := r.Policy(t.Context())
			p := *given.Policy
			p.Reference = nil
			*r = publisher.WatchRequest{Policy: func(context.Context) (publisher.GivenPolicy, error) {
				return publisher.GivenPolicy{Policy: &p, File: []byte("another")}, nil
			}}
		}, []string{"policy: sha256:", "verdict: affirmed > denied: ATT-"}, status.Untrusted},
		"policy that is gone": {func(_ *fake, r *publisher.WatchRequest) {
			r.Policy = func(context.Context) (publisher.GivenPolicy, error) {
				return publisher.GivenPolicy{}, status.New(status.NotFound, "policy.read", "it is gone")
			}
		}, nil, status.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, req := watchable(t)
			live := req
			req.Policy = func(ctx context.Context) (publisher.GivenPolicy, error) { return live.Policy(ctx) }
			changes, _, err := watched(t, w, req, func() { tt.change(p, &live) }, func() {})
			if tt.code == 0 && !errors.Is(err, errEnough) || tt.code != 0 && status.CodeOf(err) != tt.code {
				t.Errorf("got %v", err)
			}
			if tt.code == 0 && len(changes) != len(tt.want) || len(changes) < len(tt.want) {
				t.Fatalf("got %q, want %q", changes, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(strings.Join(changes, "\n"), want) {
					t.Errorf("change %d: got %q, want %q", i, changes, want)
				}
			}
		})
	}
}

// TestWatchTimes: at the latest when the verdict expires, and never without a
// break.
func TestWatchTimes(t *testing.T) {
	for name, tt := range map[string]struct {
		lives, interval, want time.Duration
	}{
		"expiry":         {4 * time.Minute, 0, 4 * time.Minute},
		"interval":       {4 * time.Minute, time.Minute, time.Minute},
		"long interval":  {4 * time.Minute, time.Hour, 4 * time.Minute},
		"short verdicts": {10 * time.Millisecond, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, req := watchable(t)
			p.claims = func(c *attest.Claims) { c.ExpiresAt = w.now().Add(tt.lives) }
			req.Interval = tt.interval
			_, waits, err := watched(t, w, req)
			if !errors.Is(err, errEnough) || len(waits) != 1 || (waits[0]-tt.want).Abs() > time.Millisecond {
				t.Errorf("waited %v, want %v: %v", waits, tt.want, err)
			}
		})
	}
}

// TestWatchUnreachable: who does not answer was not refused.
func TestWatchUnreachable(t *testing.T) {
	w, p, req := watchable(t)
	req.Interval = time.Minute
	steps := []func(){func() { p.down = true }}
	for range 20 {
		steps = append(steps, func() {})
	}
	steps = append(steps, func() { p.down = false })
	changes, waits, err := watched(t, w, req, steps...)
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	want := []string{"reachable:  > unreachable since", "verdict: affirmed > expired", "reachable: unreachable since"}
	if len(changes) != len(want) {
		t.Fatalf("got %q", changes)
	}
	for i := range want {
		if !strings.HasPrefix(changes[i], want[i]) {
			t.Errorf("change %d: got %q, want %q", i, changes[i], want[i])
		}
	}
	for i, want := range []time.Duration{60, 1, 2, 4, 8, 16, 32, 60, 60} {
		if waits[i] != want*time.Second {
			t.Errorf("wait %d: got %v, want %ds", i, waits[i], want)
		}
	}
}

// TestWatchStarting: a provider whose network is there before its protocols are
// is waited for by who knows that it is one, and by nobody else.
func TestWatchStarting(t *testing.T) {
	w, p, req := watchable(t)
	req.Interval = time.Minute
	changes, _, err := watched(t, w, req, func() { p.mute = true }, func() {}, func() { p.mute = false })
	if !errors.Is(err, errEnough) || len(changes) != 2 || !strings.HasPrefix(changes[0], "reachable:  > unreachable since") {
		t.Errorf("got %q, %v", changes, err)
	}
	p.mute = true
	_, waits, err := watched(t, w, req, func() {})
	refused(t, err, status.Unimplemented, "peer.protocol_missing")
	if len(waits) != 0 {
		t.Errorf("waited %v for a peer that is no provider", waits)
	}
}

// TestWatchAwayFromTheStart tries until the provider is there.
func TestWatchAwayFromTheStart(t *testing.T) {
	w, p, req := watchable(t)
	p.down = true
	changes, _, err := watched(t, w, req, func() {}, func() { p.down = false })
	if !errors.Is(err, errEnough) || len(changes) != 2 {
		t.Errorf("got %q, %v", changes, err)
	}
}

// TestFollowLogs: the stream ends with the refusal of the provider behind it,
// and with nothing else that goes wrong there.
func TestFollowLogs(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world, *fake)
		// refused: the stream is ended; else it ends by itself.
		refused bool
	}{
		"affirmed":   {func(*world, *fake) {}, false},
		"denied":     {func(_ *world, f *fake) { f.device = changed }, true},
		"away":       {func(_ *world, f *fake) { f.down = true }, false},
		"no policy":  {func(w *world, f *fake) { w.Policies = policies{}; f.device = changed }, false},
		"broken own": {func(w *world, _ *fake) { w.Logs = brokenLogs{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, req := watchable(t)
			w.Policies = policies{publisher.AppScope("app"): {Version: 1, File: w.policy().Marshal()}}
			w.follow = func(ctx context.Context, fn func(publisher.LogLine) error) error {
				if err := fn(publisher.LogLine{Text: []byte("hello")}); err != nil || !tt.refused {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			}
			tt.change(w, p)
			lines := 0
			err := w.service().FollowLogs(t.Context(), req.App, publisher.LogQuery{Name: "app", Follow: true}, func(publisher.LogLine) error {
				lines++
				return nil
			})
			if tt.refused {
				refused(t, err, status.Untrusted, "attest.denied")
			} else {
				must(t, err)
			}
			if lines != 1 {
				t.Errorf("%d lines", lines)
			}
		})
	}
}

// brokenLogs cannot be read.
type brokenLogs struct{}

func (brokenLogs) Log(context.Context, publisher.ProviderID) (publisher.SeenLog, error) {
	return publisher.SeenLog{}, status.New(status.InvalidArgument, "state.corrupt", "it is damaged")
}

func (brokenLogs) ChangeLog(context.Context, publisher.ProviderID, func(*publisher.SeenLog) error) error {
	return nil
}
