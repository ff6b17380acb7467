package provider

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"apocryph/attest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

const (
	// claimsLifetime is how long a publisher may use an attestation. Sealing and
	// publishing a large image happens within it.
	claimsLifetime = 10 * time.Minute
	// maxClaims bounds the attestations that are remembered, against a flood
	// from many peers; each takes a few hundred bytes.
	maxClaims = 16384
	// maxClaimsPerPeer bounds those of one publisher, used or not; its oldest one
	// makes room.
	maxClaimsPerPeer = 16
)

// AttestRequest asks this provider for evidence about itself.
type AttestRequest struct {
	Challenge attest.Challenge
	// Accept lists the types that the caller can appraise; empty means any.
	Accept []attest.Type
	// Needs asks for an offer to be bound into the evidence.
	Needs *offer.Needs
	// Pod is a pod of the caller's that the claims are to speak of; may be empty.
	Pod PodID
	// Log asks for the pod log; nil does not.
	Log *LogRequest
	// Tree asks for proofs of the transparency log.
	Tree *TreeRequest
	// Images are ids of images that were built here for the caller: their statements
	// are wanted, and with Log the openings of their builds. At most [MaxBuiltImages].
	Images []string
}

// Attestation is evidence and what it binds.
type Attestation struct {
	// Claims are the exact bytes that the evidence binds.
	Claims   []byte
	Evidence []attest.Evidence
	Offer    *offer.Signed
	// Log is set where it was asked for.
	Log *LogShown
	// Tree is set where it was asked for.
	Tree *TreeAnswer
	// Built are envelopes of package provenance, of the images that were asked about.
	Built [][]byte
}

// Activate lets the verifier encrypt a secret to the endorsement key.
type Activate func(attest.TPMIdentity) (attest.Activation, error)

// issued is an attestation that a publisher may still use.
type issued struct {
	publisher PublisherID
	purpose   attest.Purpose
	expires   time.Time
	// usedBy is the first request id that used it; it serves no other.
	usedBy *[16]byte
	// tree is how many entries the log had that was shown with it, 0 where none was.
	tree int64
	// spent means that what the request made was deleted.
	spent bool
}

// ledger remembers the attestations that were issued.
type ledger struct {
	mu sync.Mutex // guards byDigest
	// byDigest is keyed by the SHA-256 of the claims.
	byDigest map[[32]byte]*issued
}

func (l *ledger) add(digest [32]byte, i *issued, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var own int
	var oldest *[32]byte
	for d, have := range l.byDigest {
		if !now.Before(have.expires) {
			delete(l.byDigest, d)
			continue
		}
		if have.publisher != i.publisher {
			continue
		}
		own++
		if oldest == nil || have.expires.Before(l.byDigest[*oldest].expires) {
			oldest = &d
		}
	}
	if own >= maxClaimsPerPeer {
		delete(l.byDigest, *oldest)
	}
	if len(l.byDigest) >= maxClaims {
		return status.New(status.ResourceExhausted, "attest.busy", "too many attestations are outstanding").
			WithRetryAfter(claimsLifetime / 10)
	}
	l.byDigest[digest] = i
	return nil
}

// use binds an attestation to the first request that names it.
func (l *ledger) use(digest [32]byte, publisher PublisherID, requestID [16]byte, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, err := l.find(digest, publisher, now)
	if err != nil {
		return err
	}
	if i.spent || i.usedBy != nil && *i.usedBy != requestID {
		return status.New(status.Conflict, "provision.attestation_used", "the attestation was used by another request").
			WithHint("attest the provider again and repeat the request")
	}
	i.usedBy = &requestID
	return nil
}

// known finds out whether an attestation could still be used.
func (l *ledger) known(digest [32]byte, publisher PublisherID, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.find(digest, publisher, now)
	return err
}

// find finds what a publisher may use. The caller holds l.mu.
func (l *ledger) find(digest [32]byte, publisher PublisherID, now time.Time) (*issued, error) {
	i, ok := l.byDigest[digest]
	switch {
	case !ok || i.publisher != publisher || !now.Before(i.expires):
		// One answer for unknown, foreign and expired: it tells nobody whose claims exist.
		return nil, status.New(status.Untrusted, "provision.attestation", "claims_digest names no unexpired attestation of this provider for this publisher").
			WithHint("attest the provider again and repeat the request")
	case i.purpose != attest.PurposeProvision:
		return nil, status.New(status.Untrusted, "provision.purpose", "the attestation was made for another purpose than provision")
	}
	return i, nil
}

// shown is how many entries the log had that was shown with an attestation.
func (l *ledger) shown(digest [32]byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.byDigest[digest]; ok {
		return i.tree
	}
	return 0
}

// retire keeps an order from being carried out again, now that its pod was deleted.
func (l *ledger) retire(publisher PublisherID, requestID [16]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.byDigest {
		if i.publisher == publisher && i.usedBy != nil && *i.usedBy == requestID {
			i.spent = true
		}
	}
}

// Attest makes fresh evidence that binds the challenge, this provider and the
// keys that secrets may be sealed to.
func (s *Service) Attest(ctx context.Context, publisher PublisherID, req AttestRequest, activate Activate) (*Attestation, error) {
	if !bytes.Equal(req.Challenge.ProviderPeer, s.cfg.Peer) {
		return nil, status.New(status.InvalidArgument, "attest.peer", "provider_peer is not this provider").
			WithHint("check the address that was dialled")
	}
	if len(req.Accept) > 0 && !slices.Contains(req.Accept, s.cfg.Device.Type()) {
		return nil, status.New(status.Untrusted, "attest.type", "this provider has %s evidence, the caller accepts %v", s.cfg.Device.Type(), req.Accept)
	}
	if n := len(req.Images); n > MaxBuiltImages {
		return nil, status.New(status.InvalidArgument, "attest.images", "image_ids: got %d, want at most %d", n, MaxBuiltImages)
	}
	var p *pod
	if req.Pod != "" {
		var err error
		if p, err = s.askedPod(publisher, req.Pod); err != nil {
			return nil, err
		}
	}
	if err := s.transparency.ready(); err != nil {
		return nil, err
	}
	// Before the device works for it.
	if err := s.rate.take(publisher, s.cfg.Now()); err != nil {
		return nil, err
	}
	var signed *offer.Signed
	if req.Needs != nil {
		o, err := s.Quote(ctx, publisher, *req.Needs)
		if err != nil {
			return nil, err
		}
		signed = &o
	}
	built, err := s.statements(ctx, publisher, req.Images)
	if err != nil {
		return nil, err
	}
	out, held, err := s.evidence(ctx, req.Challenge, signed, p, activate)
	if err != nil {
		return nil, err
	}
	if out.Log, err = s.showLog(ctx, req.Log, p, built, held); err != nil {
		return nil, err
	}
	for _, b := range built {
		out.Built = append(out.Built, b.envelope)
	}
	digest := attest.ClaimsDigest(out.Claims)
	// Nobody sees evidence that the log does not have.
	number, entry, err := s.transparency.claims(ctx, digest)
	if err != nil {
		return nil, err
	}
	var shown int64
	if req.Tree != nil {
		if out.Tree, shown, err = s.transparency.answer(ctx, *req.Tree, number, entry); err != nil {
			return nil, err
		}
	}
	now := s.cfg.Now()
	return out, s.ledger.add(digest, &issued{
		publisher: publisher, purpose: req.Challenge.Purpose, expires: now.Add(claimsLifetime), tree: shown,
	}, now)
}

// evidence makes fresh evidence of this provider for a challenge, and of a pod
// unless p is nil. It returns the pod log as the evidence has it, released.
func (s *Service) evidence(ctx context.Context, ch attest.Challenge, signed *offer.Signed, p *pod, activate Activate) (*Attestation, HeldLog, error) {
	now := s.cfg.Now()
	claims := attest.Claims{
		Purpose: ch.Purpose, Nonce: ch.Nonce[:], VerifierPeer: ch.VerifierPeer, Host: ch.Host, ProviderPeer: s.cfg.Peer,
		IngressTLSKey: s.cfg.IngressTLSKey,
		HPKEPublicKey: s.keys.hpke.PublicKey(), ReceiptPublicKey: s.keys.receipt.Public().(ed25519.PublicKey),
		BootEpoch: s.keys.epoch, Storage: s.cfg.Setup.Storage,
		AgentVersion: s.cfg.Version, IssuedAt: now, ExpiresAt: now.Add(claimsLifetime),
	}
	if signed != nil {
		digest := signed.Digest()
		claims.OfferDigest = digest[:]
	}
	out := &Attestation{Offer: signed}
	tpm := tpmOf(s.cfg.Device)
	var id attest.TPMIdentity
	if tpm != nil {
		var err error
		if id, err = tpm.Identity(ctx); err != nil {
			return nil, HeldLog{}, err
		}
		if claims.TPMAKName, err = tpm.AKName(ctx); err != nil {
			return nil, HeldLog{}, err
		}
	}
	// From the claims to the quote the log stands still, and no longer: a verifier
	// that takes its time must not keep pods from starting.
	held, err := s.cfg.Log.Hold(ctx)
	if err != nil {
		return nil, HeldLog{}, err
	}
	defer held.Release()
	if err := claimLog(&claims, held); err != nil {
		return nil, HeldLog{}, err
	}
	if p != nil {
		claims.Pod = p.podClaims()
	}
	out.Claims = attest.EncodeClaims(&claims)
	if tpm == nil {
		out.Evidence, err = pieces(ctx, s.cfg.Device, out.Claims)
		return out, held, err
	}
	var secret []byte
	group, ctx := errgroup.WithContext(ctx)
	// The TPM quotes while the verifier looks at its certificates: alone, the
	// quote proves nothing.
	group.Go(func() (err error) {
		defer held.Release()
		out.Evidence, err = pieces(ctx, s.cfg.Device, out.Claims)
		return err
	})
	group.Go(func() error {
		a, err := activate(id)
		if err != nil || a.None() {
			return err
		}
		secret, err = activated(ctx, s.cfg.Device, a)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, HeldLog{}, err
	}
	if secret != nil {
		out.Evidence[0] = attest.ProveActivation(out.Evidence[0], out.Claims, secret)
	}
	return out, held, nil
}

// Quote answers what the needs would cost, signed with the attested key.
func (s *Service) Quote(ctx context.Context, publisher PublisherID, needs offer.Needs) (offer.Signed, error) {
	o, err := s.cfg.Capacity.Quote(ctx, publisher, needs)
	if err != nil {
		return offer.Signed{}, err
	}
	return offer.Sign(o, s.keys.receipt)
}
