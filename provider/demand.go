package provider

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// demandTimeout bounds how long a publisher's machine may take to prove itself;
// a hardware TPM takes a second or two.
const demandTimeout = 45 * time.Second

// Publishers asks publishers for evidence about their machines.
type Publishers interface {
	// AttestPublisher asks the connected peer of that binary id; nothing of the
	// answer is verified yet.
	AttestPublisher(ctx context.Context, peer []byte, ch attest.Challenge, accept []attest.Type, activate Activate) (*Attestation, error)
}

// rootsOf are the trust anchors that a policy brings.
func rootsOf(p *policy.Policy) verify.Roots {
	return verify.Roots{SoftCAs: p.SoftCAs(), EKRootFingerprints: p.EKRoots(), AKNames: p.AKNames()}
}

// activationFor is an activation, none where the policy knows the attestation key
// or a report names it.
func activationFor(id attest.TPMIdentity, roots verify.Roots, now time.Time) (attest.Activation, *verify.Expected, error) {
	if id.Bound {
		want, err := verify.BoundAK(id.AKPublic)
		return attest.Activation{}, want, err
	}
	want, err := verify.Pinned(id.AKPublic, roots)
	if want != nil || err != nil {
		return attest.Activation{}, want, err
	}
	return verify.NewActivation(id, roots, rand.Reader, now)
}

// appraisePublisher holds the publisher's machine against the operator's policy
// for publishers; without one there is nothing to appraise.
func (s *Service) appraisePublisher(ctx context.Context, peer []byte) error {
	p := s.cfg.PublisherPolicy
	if p == nil {
		return nil
	}
	err := s.provePublisher(ctx, p, peer)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return status.Wrap(err, status.Untrusted, "provision.publisher_evidence", "this provider takes apps only from machines that its operator's policy accepts: %s", status.Public(err).Detail).
		WithHint("deploy from such a machine, with --tee and, where the device is a TPM, --tpm; or choose another provider")
}

func (s *Service) provePublisher(ctx context.Context, p *policy.Policy, peer []byte) error {
	ctx, cancel := context.WithTimeout(ctx, demandTimeout)
	defer cancel()
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: s.cfg.Peer, ProviderPeer: peer}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return fmt.Errorf("making a nonce: %w", err)
	}
	roots := rootsOf(p)
	var expected *verify.Expected
	got, err := s.cfg.Publishers.AttestPublisher(ctx, peer, ch, p.AcceptTypes(), func(id attest.TPMIdentity) (attest.Activation, error) {
		a, want, err := activationFor(id, roots, s.cfg.Now())
		expected = want
		return a, err
	})
	if err != nil {
		return err
	}
	result, err := verify.Evidence(got.Evidence, got.Claims, ch, expected, roots, s.cfg.Now())
	if err != nil {
		return err
	}
	// A publisher has no log of pods and no transparency log.
	if v := p.Own().Appraise(result, s.cfg.Now()); !v.Affirmed {
		c, _ := v.Failed()
		return status.New(status.Untrusted, "attest.denied", "%s %s: got %s, want %s", c.Code, c.Name, c.Got, c.Want)
	}
	return nil
}
