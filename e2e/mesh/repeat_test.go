package mesh

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// repeater sends every provision on several streams at once and keeps what it sent.
type repeater struct {
	publisher.Providers
	streams int

	mu   sync.Mutex
	sent []publisher.ProvisionRequest
	got  []publisher.Provisioned
}

// Provision returns the first stream's answer.
func (r *repeater) Provision(ctx context.Context, to publisher.ProviderID, req publisher.ProvisionRequest, report func(publisher.Progress)) (publisher.Provisioned, error) {
	var group errgroup.Group
	got := make([]publisher.Provisioned, r.streams)
	for i := range got {
		group.Go(func() (err error) {
			got[i], err = r.Providers.Provision(ctx, to, req, report)
			return err
		})
	}
	err := group.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent, r.got = append(r.sent, req), append(r.got, got...)
	return got[0], err
}

// TestRepeatedRequest: the same request on three streams at once, as from a
// publisher whose connections break, makes one pod of one revision, and all
// three get its answer. Later it still does; an altered one does not.
func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	to, pol, img := h.target(), a.policy(h.target()), image(t, 256<<10)
	m, err := manifest.ParseFile([]byte(app("once", img)))
	must(t, err)
	must(t, a.node.Do(t.Context(), true, func(ctx context.Context, s *publisherd.Session) error {
		r := &repeater{Providers: s.Pods, streams: 3}
		_, err := handmade(s, r).Deploy(ctx, publisher.DeployRequest{
			Manifest: m, Provider: to, Policy: pol, PolicyFile: pol.Marshal(), Payment: offer.Payment{Scheme: "none"}, Platform: platform,
		})
		if err != nil {
			return err
		}
		first := r.got[0]
		for _, other := range r.got[1:] {
			if other.PodID != first.PodID || other.Revision != 1 || !bytes.Equal(other.Confirm, first.Confirm) {
				t.Errorf("the streams got %+v and %+v", first, other)
			}
		}
		if list, err := h.runtime.List(ctx); err != nil || len(list) != 1 {
			t.Errorf("it runs %+v, %v", list, err)
		}

		req := r.sent[0]
		again, err := s.Pods.Provision(ctx, to.ID, req, func(publisher.Progress) {})
		if err != nil || again.Revision != 1 || !bytes.Equal(again.Confirm, first.Confirm) {
			t.Errorf("later it gets %+v, %v", again, err)
		}
		// Under another id the same order is a replay.
		req.RequestID[0] ^= 1
		_, err = s.Pods.Provision(ctx, to.ID, req, func(publisher.Progress) {})
		refused(t, err, status.Conflict, "provision.attestation_used")
		return nil
	}))
	must(t, a.delete(to, "once"))
	h.clean()
}

// TestStolenRequest: another peer sends a publisher's request as its own.
func TestStolenRequest(t *testing.T) {
	t.Parallel()
	h, a, thief := newHost(t), newAuthor(t), newAuthor(t)
	to, pol, img := h.target(), a.policy(h.target()), image(t, 1<<10)
	m, err := manifest.ParseFile([]byte(app("mine", img)))
	must(t, err)
	r := &repeater{streams: 1}
	must(t, a.node.Do(t.Context(), true, func(ctx context.Context, s *publisherd.Session) error {
		r.Providers = s.Pods
		_, err := handmade(s, r).Deploy(ctx, publisher.DeployRequest{
			Manifest: m, Provider: to, Policy: pol, PolicyFile: pol.Marshal(), Payment: offer.Payment{Scheme: "none"}, Platform: platform,
		})
		return err
	}))
	err = thief.do(func(ctx context.Context, s *publisherd.Session) error {
		if err := s.Reach(ctx, *to); err != nil {
			return err
		}
		_, err := s.Pods.Provision(ctx, to.ID, r.sent[0], func(publisher.Progress) {})
		return err
	})
	refused(t, err, status.Untrusted, "provision.attestation")
	must(t, a.delete(to, "mine"))
	h.clean()
}
