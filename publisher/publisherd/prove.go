package publisherd

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/attest/device/soft"
	"apocryph/attest/verify"
	"apocryph/p2p"
	"apocryph/p2p/mutual"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// openDevice opens the device that this machine proves itself with.
func openDevice(ctx context.Context, c Config) (mutual.Device, func() error, error) {
	dir := filepath.Join(c.Home, "device")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("making %s: %w", dir, err)
	}
	switch c.TEE {
	case "soft":
		binary := c.Binary
		if binary == "" {
			var err error
			if binary, err = os.Executable(); err != nil {
				return nil, nil, fmt.Errorf("finding the running program: %w", err)
			}
		}
		d, err := soft.Open(dir, binary, time.Now)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the software device: %w", err)
		}
		return d, func() error { return nil }, nil
	case "tpm2":
		return openTPM(ctx, c.TPM, dir)
	}
	return nil, nil, status.New(status.InvalidArgument, "publisher.tee", "a publisher cannot prove its machine with %q", c.TEE).
		WithHint("--tee tpm2 uses a TPM 2.0, --tee soft a software device that proves nothing")
}

// proving lets the provider ask for evidence while an order of this publisher is
// at it.
type proving struct {
	publisher.Providers
	prover *mutual.Prover
}

// Provision sends an order.
func (p proving) Provision(ctx context.Context, to publisher.ProviderID, req publisher.ProvisionRequest, report func(publisher.Progress)) (publisher.Provisioned, error) {
	id, err := peer.Decode(string(to))
	if err != nil {
		return publisher.Provisioned{}, status.Wrap(err, status.InvalidArgument, "provider.id", "%.80q is no peer id", to)
	}
	defer p.prover.Permit(id)()
	return p.Providers.Provision(ctx, to, req, report)
}

// provingBuilds is proving for builds.
type provingBuilds struct {
	publisher.Builds
	prover *mutual.Prover
}

// BuildImage asks for a build.
func (p provingBuilds) BuildImage(ctx context.Context, at publisher.ProviderID, req publisher.BuildRequest, report func(publisher.BuildProgress)) (publisher.Built, error) {
	id, err := peer.Decode(string(at))
	if err != nil {
		return publisher.Built{}, status.Wrap(err, status.InvalidArgument, "provider.id", "%.80q is no peer id", at)
	}
	defer p.prover.Permit(id)()
	return p.Builds.BuildImage(ctx, at, req, report)
}

// ShowOwn is what this machine shows of itself, for writing a provider's policy
// for publishers. It needs no network.
func (n *Node) ShowOwn(ctx context.Context) (r *attest.Result, err error) {
	key, err := p2p.LoadIdentity(filepath.Join(n.cfg.Home, "identity.key"))
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	device, closeDevice, err := openDevice(ctx, n.cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := closeDevice(); err == nil {
			err = closeErr
		}
	}()
	prover, err := mutual.NewProver(device, []byte(id), n.cfg.Version, time.Now)
	if err != nil {
		return nil, err
	}
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: []byte(id), ProviderPeer: []byte(id)}
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return nil, fmt.Errorf("making a nonce: %w", err)
	}
	var shown verify.Roots
	var expected *verify.Expected
	got, err := prover.Prove(ctx, ch, func(id attest.TPMIdentity) (attest.Activation, error) {
		shown = verify.RootsShown(&id, nil)
		a, want, err := verify.NewActivation(id, shown, rand.Reader, time.Now())
		expected = want
		return a, err
	})
	if err != nil {
		return nil, err
	}
	if expected == nil {
		shown = verify.RootsShown(nil, got.Evidence)
	}
	return verify.Evidence(got.Evidence, got.Claims, ch, expected, shown, time.Now())
}
