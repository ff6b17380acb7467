package provider

import (
	"context"

	"apocryph/manifest/offer"
)

// MayBuild reports whether a publisher may have an image built here, by the same
// rules as an order: it has an attestation of this provider which has not expired,
// its machine is what the operator's policy for publishers accepts, and it would not
// have to pay. The attestation is not used up: the order comes later, with another one
// or the same.
func (s *Service) MayBuild(ctx context.Context, publisher PublisherID, peer []byte, claims [32]byte) error {
	if err := s.ledger.known(claims, publisher, s.cfg.Now()); err != nil {
		return err
	}
	if err := offer.CheckPayment(offer.Payment{Scheme: "none"}, s.cfg.Prices); err != nil {
		return err
	}
	return s.appraisePublisher(ctx, peer)
}
