package provider

import (
	"context"
	"sync"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	// activateWithin is how long after evidence of an endpoint its TPM's keys may
	// be asked to prove that they belong together.
	activateWithin = 2 * time.Minute
	// maxEndpointClaims bounds the evidence of endpoints that is remembered for
	// it, against a flood; each takes 40 bytes. The oldest makes room.
	maxEndpointClaims = 4096
)

// endpointClaims remembers which claims were issued to users of endpoints.
type endpointClaims struct {
	mu sync.Mutex // guards what follows
	// order has the digests as they came, issued when.
	order  [][32]byte
	issued map[[32]byte]time.Time
}

func (e *endpointClaims) add(digest [32]byte, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.order) > 0 && (len(e.order) >= maxEndpointClaims || now.Sub(e.issued[e.order[0]]) >= activateWithin) {
		delete(e.issued, e.order[0])
		e.order = e.order[1:]
	}
	e.order = append(e.order, digest)
	e.issued[digest] = now
}

func (e *endpointClaims) has(digest [32]byte, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ok := e.issued[digest]
	return ok && now.Sub(at) < activateWithin
}

// AttestEndpoint makes evidence for a user of an app: bound to the user's nonce
// and the app's host name, and naming the pod that runs behind it. A pod that
// does not run is unavailable, reason "pod.not_running".
func (s *Service) AttestEndpoint(ctx context.Context, id PodID, host string, nonce [attest.NonceSize]byte) (*attest.Endpoint, error) {
	s.mu.Lock()
	p := s.pods[id]
	s.mu.Unlock()
	if p == nil {
		return nil, status.New(status.NotFound, "pod.unknown", "no pod is behind this host")
	}
	rec := p.record()
	if rec.State != StateRunning {
		return nil, status.New(status.Unavailable, "pod.not_running", "the app is %s", rec.State).WithRetryAfter(retrySoon).
			WithHint("its provider answers for it while it runs")
	}
	if err := s.transparency.ready(); err != nil {
		return nil, err
	}
	// The users of one app share what one publisher may, before the device works
	// for them.
	if err := s.rate.take(PublisherID("users of "+id), s.cfg.Now()); err != nil {
		return nil, err
	}
	shown, err := s.receiptAndBuilds(ctx, p, rec)
	if err != nil {
		return nil, err
	}
	ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Nonce: nonce, Host: host}
	var identity *attest.TPMIdentity
	got, held, err := s.evidence(ctx, ch, nil, p, func(id attest.TPMIdentity) (attest.Activation, error) {
		// The proof comes with a request of its own, see [Service.ActivateEndpoint].
		identity = &id
		return attest.Activation{}, nil
	})
	if err != nil {
		return nil, err
	}
	if now := p.record(); now.Revision != rec.Revision {
		// The claims may be of the one and the receipt of the other.
		return nil, status.New(status.Unavailable, "pod.not_running", "the app was updated at this moment").WithRetryAfter(retrySoon)
	}
	digest := attest.ClaimsDigest(got.Claims)
	// Nobody sees evidence that the log does not have.
	if _, _, err := s.transparency.claims(ctx, digest); err != nil {
		return nil, err
	}
	log, err := s.builtInLog(ctx, shown.buildIDs, held)
	if err != nil {
		return nil, err
	}
	s.endpoints.add(digest, s.cfg.Now())
	return &attest.Endpoint{
		Claims: got.Claims, Evidence: got.Evidence, Identity: identity, Receipt: shown.envelope, Provenance: shown.builds, Log: log,
	}, nil
}

// ActivateEndpoint proves that this machine's TPM holds the keys that the
// evidence named which [Service.AttestEndpoint] gave for these claims within the
// last minutes. Other claims are not_found, reason "endpoint.claims".
func (s *Service) ActivateEndpoint(ctx context.Context, a attest.Activate) (attest.Activated, error) {
	tpm, ok := s.cfg.Device.(Activator)
	if !ok {
		return attest.Activated{}, status.New(status.Unimplemented, "endpoint.no_tpm", "this provider's evidence is not a TPM's")
	}
	if !s.endpoints.has(a.ClaimsDigest, s.cfg.Now()) {
		return attest.Activated{}, status.New(status.NotFound, "endpoint.claims", "claims_digest names no evidence that was given to a user of an app within %s", activateWithin).
			WithHint("ask for evidence again")
	}
	secret, err := tpm.Activate(ctx, a.Activation)
	if err != nil {
		return attest.Activated{}, err
	}
	return attest.Activated{Proof: [32]byte(attest.ActivationProof(secret, a.ClaimsDigest))}, nil
}
