package mesh

import (
	"context"
	"testing"

	"apocryph/attest"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// asks are the calls of a deploy, in order.
var asks = []struct {
	name     string
	protocol rpc.Protocol
}{
	{"attest", rpc.Attest}, {"capacity", rpc.Capacity}, {"status", rpc.Pod}, {"provision", rpc.Provision},
}

// until runs a deploy as far as one call: the call for an offer, which a
// deploy to a named provider has no need of, is made by itself.
func (a *author) until(ctx context.Context, call string, j job) error {
	if call != "capacity" {
		_, err := a.deploy(ctx, j)
		return err
	}
	m, err := manifest.ParseFile([]byte(j.manifest))
	if err != nil {
		return err
	}
	return a.node.Do(ctx, false, func(ctx context.Context, s *publisherd.Session) error {
		at, err := s.Attest(ctx, *j.to, j.policy, attest.PurposeProvision, nil)
		if err == nil {
			_, err = s.Quote(ctx, at, offer.NeedsOf(m))
		}
		return err
	})
}

// TestBrokenAnswers: a provider with good evidence breaks each call of a deploy
// in each way. The deploy says at once that the provider is at fault.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	for _, call := range asks {
		for _, f := range faults(call.protocol.MaxResponse) {
			t.Run(call.name+"/"+f.name, func(t *testing.T) {
				a, m := newAuthor(t), newMallory(t, nil)
				m.breaks(call.protocol.ID, f.do)
				j := secretive(t, img)
				j.to, j.policy = m.target(), pol
				err := a.until(t.Context(), call.name, j)
				want := map[string]string{
					"no answer": "peer.answer", "half a frame": "peer.lost", "half a length": "peer.lost", "an oversize frame": "peer.frame",
					"noise": "peer.frame", "a reset": "peer.lost", "a vanished peer": "peer.lost",
				}[f.name]
				if f.name == "no answer" && (call.name == "capacity" || call.name == "status") {
					want = "peer.no_answer"
				}
				refused(t, err, status.Unavailable, want)
				switch {
				case call.name == "capacity":
				case call.name != "provision":
					m.gotNothingFrom(a)
				case f.name == "a vanished peer":
					pending(t, a)
				default:
					// It said afterwards that it has no such pod.
					if apps := a.apps(); len(apps) != 0 {
						t.Errorf("the publisher remembers %+v", apps)
					}
				}
			})
		}
	}
}

// pending fails the test unless the publisher remembers that it sent an order
// whose answer never came, and nothing more.
func pending(t *testing.T, a *author) {
	t.Helper()
	apps := a.apps()
	if len(apps) != 1 || apps[0].Pending == nil || apps[0].PodID != "" || apps[0].URL != "" {
		t.Errorf("the publisher remembers %+v, want one pending app", apps)
	}
}

// TestSilence: a provider takes each call of a deploy and says nothing. The
// caller's own time ends the call.
func TestSilence(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	for _, call := range asks {
		t.Run(call.name, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, nil)
			held, sealed := make(chan struct{}), make(chan struct{})
			m.breaks(call.protocol.ID, silence(held))
			j := secretive(t, img)
			j.to, j.policy = m.target(), pol
			j.on = func(e publisher.Event) {
				if e.Event == "seal" && e.Final {
					close(sealed)
				}
			}
			ctx := newDeadline(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- a.until(ctx, call.name, j) }()
			happens(t, "the call is held", held)
			if call.name != "capacity" {
				happens(t, "the image is sealed", sealed)
			}
			ctx.pass()
			refused(t, answerOf(t, ended), status.DeadlineExceeded, "peer.timeout")
			switch call.name {
			case "provision":
				pending(t, a)
			case "attest", "status":
				m.gotNothingFrom(a)
			}
		})
	}
}

// TestVanishes: a provider goes when the publisher has come to a step. What is
// in progress breaks; what comes next finds nobody.
func TestVanishes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	for _, step := range []string{"verdict", "publish", "quote", "provision"} {
		t.Run(step, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, func(m *mallory) {
				m.provision = func(ctx context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], _ *podpb.ProvisionRequest) error {
					err := s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Event{Event: &podpb.ProvisionEvent{Stage: podpb.Stage_STAGE_ACCEPTED}}})
					<-ctx.Done()
					return err
				}
			})
			j := secretive(t, img)
			j.to, j.policy = m.target(), pol
			j.on = func(e publisher.Event) {
				if e.Event == step {
					m.vanish()
				}
			}
			_, err := a.deploy(t.Context(), j)
			// Whether the connection's end is noticed before or after the next call
			// has begun is chance.
			if reason := status.ReasonOf(err); status.CodeOf(err) != status.Unavailable || reason != "peer.lost" && reason != "peer.unreachable" {
				t.Errorf("got %v (%v %q)", err, status.CodeOf(err), reason)
			}
			if step == "provision" {
				pending(t, a)
				return
			}
			m.gotNothingFrom(a)
		})
	}
}
