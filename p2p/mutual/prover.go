package mutual

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/attest/keyrelease"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// claimsLifetime is how long claims are good for: they are judged at once.
const claimsLifetime = 5 * time.Minute

// Device produces evidence about this machine.
type Device interface {
	Type() attest.Type
	Attest(ctx context.Context, claims []byte) (attest.Evidence, error)
}

// Activator is a device with a TPM, whose attestation key must be shown to live
// beside an endorsement key.
type Activator interface {
	Identity(ctx context.Context) (attest.TPMIdentity, error)
	Activate(ctx context.Context, a attest.Activation) ([]byte, error)
	AKName(ctx context.Context) ([]byte, error)
}

// Prover answers for this machine. Make it with [NewProver].
type Prover struct {
	device        Device
	peer          []byte
	version       string
	now           func() time.Time
	hpke, receipt []byte

	mu sync.Mutex // guards permitted
	// permitted counts, by peer, who may ask at this moment.
	permitted map[peer.ID]int
}

// NewProver makes a prover for the peer of that binary id. The claims need two
// keys; they are new and their private halves are thrown away, since nothing is
// sealed to a prover and it signs nothing.
func NewProver(device Device, id []byte, version string, now func() time.Time) (*Prover, error) {
	seal, err := keyrelease.NewKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	sign, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &Prover{
		device: device, peer: id, version: version, now: now, hpke: seal.PublicKey(), receipt: sign, permitted: map[peer.ID]int{},
	}, nil
}

// Permit lets a peer ask until revoke is called.
func (p *Prover) Permit(id peer.ID) (revoke func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.permitted[id]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.permitted[id]--; p.permitted[id] == 0 {
			delete(p.permitted, id)
		}
	})
}

func (p *Prover) permits(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.permitted[id] > 0
}

// Serve answers on h until stop is called, which waits for the calls in progress.
func (p *Prover) Serve(h host.Host, log *slog.Logger) (stop func()) {
	return rpc.Handle(h, rpc.Attest, log, func() *attestpb.AttestRequest { return new(attestpb.AttestRequest) }, p.answer)
}

func (p *Prover) answer(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
	if !p.permits(s.Peer()) {
		return status.New(status.PermissionDenied, "attest.verifier", "this peer proves its machine only to the providers that it deploys to")
	}
	purpose, err := attest.PurposeFromWire(req.GetPurpose())
	if err != nil {
		return err
	}
	ch := attest.Challenge{Purpose: purpose, VerifierPeer: []byte(s.Peer()), ProviderPeer: req.GetProviderPeer()}
	switch {
	case purpose != attest.PurposeProvision:
		return status.New(status.InvalidArgument, "attest.purpose", "purpose: got %s, want provision", purpose)
	case len(req.GetNonce()) != attest.NonceSize:
		return status.New(status.InvalidArgument, "attest.request", "nonce: got %d bytes, want %d", len(req.GetNonce()), attest.NonceSize)
	case !bytes.Equal(ch.ProviderPeer, p.peer):
		return status.New(status.InvalidArgument, "attest.peer", "provider_peer is not this peer")
	}
	copy(ch.Nonce[:], req.GetNonce())
	out, err := p.Prove(ctx, ch, func(id attest.TPMIdentity) (attest.Activation, error) {
		err := s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{
			Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_TpmIdentity{TpmIdentity: attest.IdentityToWire(id)}},
		}})
		if err != nil {
			return attest.Activation{}, err
		}
		var answer attestpb.AttestActivate
		if err := s.Recv(&answer); err != nil {
			return attest.Activation{}, err
		}
		return attest.ActivationFromWire(&answer)
	})
	if err != nil {
		return err
	}
	return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{
		Result: &attestpb.AttestResult{Claims: out.Claims, Evidence: attest.EvidenceToWire(out.Evidence)},
	}})
}

// Prove makes evidence for a challenge.
func (p *Prover) Prove(ctx context.Context, ch attest.Challenge, activate Activate) (*Answer, error) {
	now := p.now()
	claims := attest.Claims{
		Purpose: ch.Purpose, Nonce: ch.Nonce[:], VerifierPeer: ch.VerifierPeer, ProviderPeer: p.peer,
		HPKEPublicKey: p.hpke, ReceiptPublicKey: p.receipt, Register: "none", Storage: "none",
		AgentVersion: p.version, IssuedAt: now, ExpiresAt: now.Add(claimsLifetime),
	}
	tpm, ok := p.device.(Activator)
	if !ok {
		encoded := attest.EncodeClaims(&claims)
		ev, err := p.device.Attest(ctx, encoded)
		return &Answer{Claims: encoded, Evidence: []attest.Evidence{ev}}, err
	}
	id, err := tpm.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if claims.TPMAKName, err = tpm.AKName(ctx); err != nil {
		return nil, err
	}
	encoded := attest.EncodeClaims(&claims)
	a, err := activate(id)
	if err != nil {
		return nil, err
	}
	ev, err := p.device.Attest(ctx, encoded)
	if err != nil {
		return nil, err
	}
	if !a.None() {
		secret, err := tpm.Activate(ctx, a)
		if err != nil {
			return nil, err
		}
		ev = attest.ProveActivation(ev, encoded, secret)
	}
	return &Answer{Claims: encoded, Evidence: []attest.Evidence{ev}}, nil
}
