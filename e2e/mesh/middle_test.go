package mesh

import (
	"bytes"
	"context"
	"testing"

	"apocryph/attest"
	"apocryph/manifest/offer"
	"apocryph/p2p"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

// fromHonest asks a provider for evidence, as mallory. Change says what of the
// publisher's question it asks otherwise.
func (m *mallory) fromHonest(ctx context.Context, h *host, req *attestpb.AttestRequest, change func(*attestpb.AttestRequest)) (*attestpb.AttestResult, error) {
	info, err := p2p.ParsePeer(h.info.Addrs[0])
	if err != nil {
		return nil, err
	}
	if err := m.node.Connect(ctx, info); err != nil {
		return nil, err
	}
	ask := &attestpb.AttestRequest{
		Purpose: req.GetPurpose(), Nonce: req.GetNonce(), ProviderPeer: []byte(info.ID), Accept: req.GetAccept(), Capacity: req.GetCapacity(),
	}
	if change != nil {
		change(ask)
	}
	res, err := rpc.Do(ctx, m.node.Host(), info.ID, rpc.Attest, ask, func() *attestpb.AttestResponse { return new(attestpb.AttestResponse) })
	return res.GetResult(), err
}

// TestRelayAttack: a peer without any device stands between the publisher and
// an honest provider and shows its evidence as its own.
func TestRelayAttack(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	for _, c := range []struct {
		name string
		// ask changes what the honest provider is asked, say what it answered.
		ask    func(*mallory, *attestpb.AttestRequest)
		say    func(m *mallory, req *attestpb.AttestRequest, verifier []byte, r *attestpb.AttestResult)
		code   status.Code
		reason string
	}{
		{"word for word", nil, nil, status.Untrusted, "attest.audience"},
		{"the question, too", func(m *mallory, r *attestpb.AttestRequest) { r.ProviderPeer = []byte(m.node.ID()) }, nil, status.InvalidArgument, "attest.peer"},
		{"with its own key in the claims", nil, func(m *mallory, req *attestpb.AttestRequest, verifier []byte, r *attestpb.AttestResult) {
			c, err := attest.DecodeClaims(r.Claims)
			if err != nil {
				panic(err)
			}
			c.Nonce, c.VerifierPeer, c.ProviderPeer, c.HPKEPublicKey = req.GetNonce(), verifier, []byte(m.node.ID()), m.hpke.PublicKey()
			r.Claims = attest.EncodeClaims(c)
		}, status.Untrusted, "attest.binding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, m := newAuthor(t), onMachine(t, machines.foreign, func(m *mallory) {
				m.attest = func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
					r, err := m.fromHonest(ctx, h, req, func(ask *attestpb.AttestRequest) {
						ask.Capacity.Reserve = false
						if c.ask != nil {
							c.ask(m, ask)
						}
					})
					if err != nil {
						return err
					}
					if c.say != nil {
						c.say(m, req, []byte(s.Peer()), r)
					}
					return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: r}})
				}
			})
			j := secretive(t, img)
			j.to, j.policy = m.target(), pol
			_, err := a.deploy(t.Context(), j)
			refused(t, err, c.code, c.reason)
			m.gotNothingFrom(a)
		})
	}
	h.clean()
}

// TestOfferPassedOn: a provider with good evidence shows the offer that another
// one made to it, with and without that one's receipt key in its claims.
func TestOfferPassedOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	for name, c := range map[string]struct {
		key    bool
		reason string
	}{
		"under its own key":   {false, "offer.signature"},
		"under the other key": {true, "offer.mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, func(m *mallory) {
				m.attest = func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
					foreign, err := m.fromHonest(ctx, h, req, func(ask *attestpb.AttestRequest) { ask.Capacity.Reserve = false })
					if err != nil {
						return err
					}
					theirs, err := attest.DecodeClaims(foreign.Claims)
					if err != nil {
						return err
					}
					m.signed = func(o *offer.Signed) { *o = offer.SignedFromWire(foreign.Offer) }
					if c.key {
						m.claims = func(c *attest.Claims) { c.ReceiptPublicKey = theirs.ReceiptPublicKey }
					}
					return m.attests(ctx, s, req)
				}
			})
			j := secretive(t, img)
			j.to, j.policy = m.target(), pol
			_, err := a.deploy(t.Context(), j)
			refused(t, err, status.Untrusted, c.reason)
			m.gotNothingFrom(a)
		})
	}
	h.clean()
}

// TestBorrowedReleaseKey: a provider with good evidence puts another one's
// release key into its claims. It is sent an order that it cannot open, cannot
// have it opened, and cannot confirm.
func TestBorrowedReleaseKey(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	borrow := func(m *mallory) {
		m.attest = func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
			foreign, err := m.fromHonest(ctx, h, req, func(ask *attestpb.AttestRequest) { ask.Capacity = nil })
			if err != nil {
				return err
			}
			theirs, err := attest.DecodeClaims(foreign.Claims)
			if err != nil {
				return err
			}
			m.claims = func(c *attest.Claims) { c.HPKEPublicKey = theirs.HPKEPublicKey }
			return m.attests(ctx, s, req)
		}
	}
	// passOn hands the sealed order to the owner of the key.
	passOn := func(m *mallory, ctx context.Context, req *podpb.ProvisionRequest) error {
		info, err := p2p.ParsePeer(h.info.PeerID)
		if err != nil {
			return err
		}
		_, err = rpc.Do(ctx, m.node.Host(), info.ID, rpc.Provision, req, func() *podpb.ProvisionResponse { return new(podpb.ProvisionResponse) })
		return err
	}
	deploy := func(t *testing.T, a *author, m *mallory) error {
		t.Helper()
		j := secretive(t, img)
		j.to, j.policy = m.target(), pol
		_, err := a.deploy(t.Context(), j)
		m.learntNothing()
		if n := len(m.provisions()); n != 1 {
			t.Errorf("%d orders were sent", n)
		}
		h.empty()
		return err
	}

	t.Run("passed on", func(t *testing.T) {
		a, m := newAuthor(t), newMallory(t, func(m *mallory) {
			borrow(m)
			m.provision = func(ctx context.Context, _ *rpc.ServerStream[*podpb.ProvisionResponse], req *podpb.ProvisionRequest) error {
				return passOn(m, ctx, req)
			}
		})
		refused(t, deploy(t, a, m), status.Untrusted, "provision.attestation")
		if apps := a.apps(); len(apps) != 0 {
			t.Errorf("the publisher remembers %+v", apps)
		}
	})
	for name, confirm := range map[string][]byte{"no confirmation": nil, "made up": bytes.Repeat([]byte{7}, 32)} {
		t.Run(name, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, func(m *mallory) {
				borrow(m)
				m.provision = func(_ context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], _ *podpb.ProvisionRequest) error {
					return s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Result{Result: &podpb.ProvisionResult{
						PodId: "pod", Revision: 1, Confirm: confirm, ManifestDigest: make([]byte, 32),
					}}})
				}
			})
			refused(t, deploy(t, a, m), status.Untrusted, "provision.unconfirmed")
			// Whatever runs there, nobody with the key has confirmed it: it is not
			// remembered as deployed.
			pending(t, a)
		})
	}
	h.clean()
}
