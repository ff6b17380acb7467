package publisher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	// minWatch keeps a short freshness from asking a provider, whose TPM takes a
	// second for a quote, without a break.
	minWatch = time.Second
	// maxBackoff is the longest wait between two tries at a provider that is away.
	maxBackoff = time.Minute
)

// WatchRequest asks for an app to be verified again and again.
type WatchRequest struct {
	App App
	// Policy is called before each attestation, so that a file that changes is
	// noticed. Its error ends the watch.
	Policy func(context.Context) (GivenPolicy, error)
	// Interval is the longest time between two attestations; 0 for when the verdict
	// expires.
	Interval time.Duration
	// MachineOnly leaves out what the provider says of the pod.
	MachineOnly bool
	// Seen is called after each attestation that affirms; may be nil.
	Seen func(*Attested, *PodStatus)
	// Changed is called for each change; may be nil.
	Changed func(Change)
	// Wait waits until a time; nil for the clock of this machine.
	Wait func(ctx context.Context, until time.Time) error
}

// Watch attests an app's provider now and whenever the verdict expires or the
// interval passes. It ends with an error only: untrusted when the provider is
// no longer what the policy accepts, ctx's when that ends. A provider that
// cannot be reached was not refused by anybody: it is reported, and tried again
// after 1 second, 2, 4 and so on up to a minute.
func (s *Service) Watch(ctx context.Context, req WatchRequest) error {
	if req.Seen == nil {
		req.Seen = func(*Attested, *PodStatus) {}
	}
	if req.Changed == nil {
		req.Changed = func(Change) {}
	}
	if req.Wait == nil {
		req.Wait = s.sleep
	}
	w := watch{s: s, req: req}
	for {
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			w.reached()
		case status.CodeOf(err).Retryable(), w.facts != nil && status.ReasonOf(err) == "peer.protocol_missing":
			// Who spoke the protocol before and does not now starts or stops: its
			// network is there before what answers is.
			w.missed(err)
		default:
			return err
		}
		if err := req.Wait(ctx, w.next()); err != nil {
			return err
		}
	}
}

// watch is what was seen so far.
type watch struct {
	s   *Service
	req WatchRequest
	// facts are those of the last time; nil before the first.
	facts   []fact
	policy  [32]byte
	looked  bool
	expires time.Time
	// away is since when the provider is not reached, zero while it is.
	away    time.Time
	backoff time.Duration
	expired bool
}

// look attests once.
func (w *watch) look(ctx context.Context) error {
	given, err := w.req.Policy(ctx)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(given.File)
	if w.looked && digest != w.policy {
		w.change("policy", fmt.Sprintf("sha256:%x", w.policy), fmt.Sprintf("sha256:%x", digest))
	}
	w.policy, w.looked = digest, true
	if err := w.s.CheckPolicy(ctx, w.req.App.Name, given); err != nil {
		return err
	}
	var images []string
	if !w.req.MachineOnly {
		images = imagesOf(given.Policy, w.req.App.Images)
	}
	a, err := w.s.attest(ctx, w.req.App.Provider, given.Policy, attest.PurposeProvision, AttestRequest{Images: images}, nil)
	if err != nil {
		return err
	}
	var pod *PodStatus
	if a.Verdict.Affirmed && !w.req.MachineOnly {
		if pod, err = w.s.podOf(ctx, w.req.App); err != nil {
			return err
		}
	}
	now := factsOf(a, pod)
	for i := range min(len(w.facts), len(now)) {
		if was := w.facts[i]; was.value != now[i].value {
			w.change(was.what, was.value, now[i].value)
		}
	}
	if !a.Verdict.Affirmed {
		return denied(a.Verdict)
	}
	w.facts, w.expires, w.expired = now, a.Verdict.ExpiresAt, false
	w.req.Seen(a, pod)
	return nil
}

// podOf is the pod as the provider says, with the state "gone" for none.
func (s *Service) podOf(ctx context.Context, app App) (*PodStatus, error) {
	pods, err := s.cfg.Pods.PodStatus(ctx, app.Provider.ID, app.Name)
	switch {
	case status.CodeOf(err) == status.NotFound:
		return &PodStatus{Name: app.Name, State: "gone"}, nil
	case err != nil:
		return nil, err
	case len(pods) != 1:
		return nil, status.New(status.Unavailable, "pod.answer", "the provider answered with %d pods, want 1", len(pods))
	}
	return &pods[0], nil
}

func (w *watch) reached() {
	if !w.away.IsZero() {
		w.change("reachable", "unreachable since "+w.away.UTC().Format(time.RFC3339), "reachable")
	}
	w.away, w.backoff = time.Time{}, 0
}

func (w *watch) missed(err error) {
	now := w.s.cfg.Now()
	if w.away.IsZero() {
		w.away = now
		w.change("reachable", "", "unreachable since "+now.UTC().Format(time.RFC3339)+": "+status.Public(err).Detail)
	}
	if !w.expires.IsZero() && !now.Before(w.expires) && !w.expired {
		w.expired = true
		w.change("verdict", w.facts[0].value, "expired: what the machine is now is not known")
	}
	w.backoff = min(max(2*w.backoff, minWatch), maxBackoff)
}

// next is when to look again.
func (w *watch) next() time.Time {
	now := w.s.cfg.Now()
	if w.backoff > 0 {
		return now.Add(w.backoff)
	}
	at := w.expires
	if w.req.Interval > 0 && now.Add(w.req.Interval).Before(at) {
		at = now.Add(w.req.Interval)
	}
	if soon := now.Add(minWatch); at.Before(soon) {
		return soon
	}
	return at
}

func (w *watch) change(what, was, now string) {
	w.req.Changed(Change{What: what, Was: was, Now: now, At: w.s.cfg.Now()})
}

// sleep waits by the clock of this machine.
func (s *Service) sleep(ctx context.Context, until time.Time) error {
	t := time.NewTimer(until.Sub(s.cfg.Now()))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// FollowLogs is Pods.FollowLogs for an app whose policy is known: while it
// follows, the provider is verified again whenever its verdict expires. It ends
// with the refusal, an untrusted, when the policy does not affirm it any more. A
// provider that does not answer meanwhile, or a check that could not be made, is
// no refusal.
func (s *Service) FollowLogs(ctx context.Context, app App, q LogQuery, fn func(LogLine) error) error {
	if !q.Follow {
		return s.cfg.Pods.FollowLogs(ctx, app.Provider.ID, q, fn)
	}
	_, err := s.LastPolicy(ctx, app.Name)
	if status.CodeOf(err) == status.NotFound {
		return s.cfg.Pods.FollowLogs(ctx, app.Provider.ID, q, fn)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var refusal error
	go func() {
		defer close(done)
		err := s.Watch(ctx, WatchRequest{
			App: app, MachineOnly: true,
			// A deploy meanwhile may have brought another.
			Policy: func(ctx context.Context) (GivenPolicy, error) { return s.LastPolicy(ctx, app.Name) },
		})
		switch {
		case status.CodeOf(err) == status.Untrusted:
			refusal = err
			cancel(err)
		case ctx.Err() == nil:
			s.log.Warn("the provider is not verified again", "err", err)
		}
	}()
	err = s.cfg.Pods.FollowLogs(ctx, app.Provider.ID, q, fn)
	cancel(errFollowed)
	<-done
	if refusal != nil {
		return refusal
	}
	return err
}

// errFollowed ends the watch beside a stream that ended.
var errFollowed = errors.New("the stream ended")
