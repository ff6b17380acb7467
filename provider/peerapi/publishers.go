package peerapi

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/p2p/mutual"
	"apocryph/provider"
)

// Publishers asks publishers over the connections that they made.
type Publishers struct{ Host host.Host }

var _ provider.Publishers = Publishers{}

// AttestPublisher asks the peer of that binary id for evidence.
func (p Publishers) AttestPublisher(ctx context.Context, id []byte, ch attest.Challenge, accept []attest.Type, activate provider.Activate) (*provider.Attestation, error) {
	got, err := mutual.Ask(ctx, p.Host, peer.ID(id), ch, accept, mutual.Activate(activate))
	if err != nil {
		return nil, err
	}
	return &provider.Attestation{Claims: got.Claims, Evidence: got.Evidence}, nil
}
