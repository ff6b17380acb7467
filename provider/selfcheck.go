package provider

import (
	"context"
	"crypto/rand"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// appraiseSelf appraises fresh evidence of this provider with the code that a
// publisher uses. A nil policy asks for evidence that can be made and no more:
// there is nobody then whose trust anchors it could be verified against.
func (s *Service) appraiseSelf(ctx context.Context, p *policy.Policy) error {
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: s.cfg.Peer, ProviderPeer: s.cfg.Peer}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return fmt.Errorf("making a nonce: %w", err)
	}
	var roots verify.Roots
	if p != nil {
		roots = rootsOf(p)
	}
	var expected *verify.Expected
	got, _, err := s.evidence(ctx, ch, nil, nil, func(id attest.TPMIdentity) (attest.Activation, error) {
		if p == nil {
			roots = verify.RootsShown(&id, nil)
		}
		a, want, err := activationFor(id, roots, s.cfg.Now())
		expected = want
		return a, err
	})
	if err != nil {
		return err
	}
	if p == nil {
		roots = verify.RootsShown(nil, got.Evidence)
	}
	result, err := verify.Evidence(got.Evidence, got.Claims, ch, expected, roots, s.cfg.Now())
	if err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	// Its own logs are nothing that it would have to be shown.
	if v := p.Own().Appraise(result, s.cfg.Now()); !v.Affirmed {
		c, _ := v.Failed()
		return status.New(status.Untrusted, "provider.self", "this provider is not what the policy accepts: %s %s: got %s, want %s", c.Code, c.Name, c.Got, c.Want)
	}
	return nil
}
