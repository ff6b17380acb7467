package mesh

import (
	"context"
	"slices"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest/offer"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

// TestMalloryCouldBeGood is the control of all tests with it: unchanged, it
// passes the policy and is sent an order that it can open.
func TestMalloryCouldBeGood(t *testing.T) {
	t.Parallel()
	h, a, m := newHost(t), newAuthor(t), newMallory(t, nil)
	j := secretive(t, image(t, 1<<10))
	j.to, j.policy = m.target(), a.policy(h.target())
	_, err := a.deploy(t.Context(), j)
	refused(t, err, status.ResourceExhausted, "capacity.cpu")
	sent := m.provisions()
	if len(sent) != 1 {
		t.Fatalf("%d orders were sent", len(sent))
	}
	p := sent[0]
	if _, _, err := m.hpke.Open(p.GetEnc(), p.GetCiphertext(), [32]byte(p.GetClaimsDigest()), [16]byte(p.GetRequestId())); err != nil {
		t.Errorf("mallory cannot open its order: %v", err)
	}
	if apps := a.apps(); len(apps) != 0 {
		t.Errorf("the publisher remembers %+v", apps)
	}
}

// TestLies: a provider on an accepted machine tells one lie.
func TestLies(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol, img := newAuthor(t).policy(h.target()), image(t, 1<<10)
	const (
		unbound = "attest.binding"
		other   = "attest.peer_mismatch"
	)
	stranger := []byte(newThief(t).node.ID())
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, c := range []struct {
		name   string
		lie    func(*mallory)
		code   status.Code
		reason string
	}{
		{"another nonce", claim(func(c *attest.Claims) { c.Nonce = make([]byte, 32); c.Nonce[0] = 1 }), status.Untrusted, "attest.nonce"},
		{"another verifier", claim(func(c *attest.Claims) { c.VerifierPeer = stranger }), status.Untrusted, "attest.audience"},
		{"another peer", claim(func(c *attest.Claims) { c.ProviderPeer = stranger }), status.Untrusted, other},
		{"another purpose", claim(func(c *attest.Claims) { c.Purpose = attest.PurposeOffer }), status.Untrusted, "attest.purpose"},
		{"of yesterday", claim(func(c *attest.Claims) { c.IssuedAt, c.ExpiresAt = yesterday, yesterday.Add(time.Hour) }), status.Untrusted, "attest.expired"},
		{"another release key", rewritten(func(c *attest.Claims) { c.HPKEPublicKey[0] ^= 1 }), status.Untrusted, unbound},
		{"another receipt key", rewritten(func(c *attest.Claims) { c.ReceiptPublicKey[0] ^= 1 }), status.Untrusted, unbound},
		{"another offer digest", rewritten(func(c *attest.Claims) { c.OfferDigest[0] ^= 1 }), status.Untrusted, unbound},
		{"no evidence", answer(func(r *attestpb.AttestResult) { r.Evidence = nil }), status.Untrusted, "attest.parse"},
		{"no offer", answer(func(r *attestpb.AttestResult) { r.Offer = nil }), status.Untrusted, "offer.missing"},
		{"offer of another publisher", terms(func(o *offer.Offer) { o.Publisher = stranger }), status.Untrusted, "offer.mismatch"},
		{"offer of another provider", terms(func(o *offer.Offer) { o.Provider = stranger }), status.Untrusted, "offer.mismatch"},
		{"offer for another request", terms(func(o *offer.Offer) { o.RequestDigest[0] ^= 1 }), status.Untrusted, "offer.mismatch"},
		{"offer of yesterday", terms(func(o *offer.Offer) { o.NotAfter = yesterday.Truncate(time.Millisecond) }), status.Unavailable, "offer.expired"},
		{"offer without room", terms(func(o *offer.Offer) {
			o.Available = false
			o.ReservationID = ""
			o.Resources[0].Offered, o.Resources[0].Reason = false, "all is taken"
		}), status.ResourceExhausted, "capacity.cpu"},
		{"price above the policy", terms(func(o *offer.Offer) { o.Asset, o.TotalPerHour = "USD", "7" }), status.Untrusted, "offer.price"},
		{"price changed before it was bound", func(m *mallory) { m.signed = cheapen }, status.Untrusted, "offer.signature"},
		{"price changed after it was bound", answer(func(r *attestpb.AttestResult) {
			s := offer.SignedFromWire(r.Offer)
			cheapen(&s)
			r.Offer = s.ToWire()
		}), status.Untrusted, "offer.unbound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, c.lie)
			j := secretive(t, img)
			j.to, j.policy = m.target(), capped(t, pol)
			_, err := a.deploy(t.Context(), j)
			refused(t, err, c.code, c.reason)
			m.gotNothingFrom(a)
			if calls := m.calls(); !slices.Equal(calls, []string{"AttestRequest"}) {
				t.Errorf("after a lie it was asked %q", calls)
			}
		})
	}
	t.Run("another machine", func(t *testing.T) {
		a, m := newAuthor(t), onMachine(t, machines.foreign, nil)
		j := secretive(t, img)
		j.to, j.policy = m.target(), pol
		_, err := a.deploy(t.Context(), j)
		refused(t, err, status.Untrusted, "attest.untrusted_root")
		m.gotNothingFrom(a)
	})
	h.clean()
}

// capped is a policy with a highest price.
func capped(t *testing.T, p *policy.Policy) *policy.Policy {
	t.Helper()
	q, err := policy.Parse(append(p.Marshal(), "\noffer: {max_price_per_hour: \"1\", asset: USD}\n"...))
	must(t, err)
	return q
}

func claim(f func(*attest.Claims)) func(*mallory) { return func(m *mallory) { m.claims = f } }

func terms(f func(*offer.Offer)) func(*mallory) { return func(m *mallory) { m.offer = f } }

func answer(f func(*attestpb.AttestResult)) func(*mallory) { return func(m *mallory) { m.result = f } }

// rewritten changes claims after the device has bound them.
func rewritten(f func(*attest.Claims)) func(*mallory) {
	return answer(func(r *attestpb.AttestResult) {
		c, err := attest.DecodeClaims(r.Claims)
		if err != nil {
			panic(err)
		}
		f(c)
		r.Claims = attest.EncodeClaims(c)
	})
}

// cheapen changes a byte of a signed offer.
func cheapen(s *offer.Signed) { s.Offer[len(s.Offer)-1] ^= 1 }

// TestReplay: yesterday's answer to the same publisher, in full, is not
// evidence of today.
func TestReplay(t *testing.T) {
	t.Parallel()
	h, a := newHost(t), newAuthor(t)
	var first *attestpb.AttestResult
	m := newMallory(t, answer(func(r *attestpb.AttestResult) {
		if first == nil {
			first = r
		}
		r.Claims, r.Evidence, r.Offer = first.Claims, first.Evidence, first.Offer
	}))
	pol := a.policy(h.target())
	look := func() error {
		return a.do(func(ctx context.Context, s *publisherd.Session) error {
			_, err := s.Attest(ctx, *m.target(), pol, attest.PurposeProvision, nil)
			return err
		})
	}
	must(t, look())
	refused(t, look(), status.Untrusted, "attest.nonce")
	j := secretive(t, image(t, 1<<10))
	j.to, j.policy = m.target(), pol
	_, err := a.deploy(t.Context(), j)
	refused(t, err, status.Untrusted, "attest.nonce")
	m.gotNothingFrom(a)
	h.clean()
}
