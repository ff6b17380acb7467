package provider_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/verify"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestAttestation is what a publisher gets verified as a publisher does.
func TestAttestation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
		_, err := rand.Read(ch.Nonce[:])
		must(t, err)
		got, err := n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch, Accept: []attest.Type{attest.Soft}}, nil)
		must(t, err)
		r, err := verify.Evidence(got.Evidence, got.Claims, ch, nil, verify.RootsShown(nil, got.Evidence), w.now())
		must(t, err)
		if life := r.Claims.ExpiresAt.Sub(w.now()); life <= 0 || life > 10*time.Minute {
			t.Errorf("the claims live for %s", life)
		}
		other := ch
		other.VerifierPeer = peerOf(bob)
		if _, err := verify.Evidence(got.Evidence, got.Claims, other, nil, verify.RootsShown(nil, got.Evidence), w.now()); status.CodeOf(err) != status.Untrusted {
			t.Errorf("alice's evidence serves bob: %v", err)
		}
	})
}

func TestAttestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newWorld(t).run()
		ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(9)}
		_, err := n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch}, nil)
		refused(t, err, status.InvalidArgument, "attest.peer")
		ch.ProviderPeer = peerID(0)
		_, err = n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch, Accept: []attest.Type{attest.TPM2, attest.TDX}}, nil)
		refused(t, err, status.Untrusted, "attest.type")
		huge := &offer.Needs{Replicas: 1, Containers: []offer.ContainerNeeds{{CPUMillis: 1 << 63}, {CPUMillis: 1 << 63}}}
		if _, err = n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch, Needs: huge}, nil); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})
}

// TestLedger is which attestation serves which request.
func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		dry := func(p provider.PublisherID) call { return order(t, p, provider.DryRun, app("app", img)) }
		send := func(c call, pub []byte, digest [32]byte) error {
			req, _ := seal(t, c, pub, digest)
			_, _, err := n.send(t.Context(), c, req)
			return err
		}
		claims, digest := n.attest(alice, attest.PurposeProvision)
		unknown := digest
		unknown[0] ^= 1
		refused(t, send(dry(alice), claims.HPKEPublicKey, unknown), status.Untrusted, "provision.attestation")
		refused(t, send(dry(bob), claims.HPKEPublicKey, digest), status.Untrusted, "provision.attestation")

		first := dry(alice)
		must(t, send(first, claims.HPKEPublicKey, digest))
		must(t, send(first, claims.HPKEPublicKey, digest))
		refused(t, send(dry(alice), claims.HPKEPublicKey, digest), status.Conflict, "provision.attestation_used")

		for _, purpose := range []attest.Purpose{attest.PurposeEndpoint, attest.PurposeOffer, attest.PurposeBuild} {
			claims, digest = n.attest(alice, purpose)
			refused(t, send(dry(alice), claims.HPKEPublicKey, digest), status.Untrusted, "provision.purpose")
		}

		claims, digest = n.attest(alice, attest.PurposeProvision)
		later(10*time.Minute - time.Second)
		must(t, send(dry(alice), claims.HPKEPublicKey, digest))
		claims, digest = n.attest(alice, attest.PurposeProvision)
		later(10 * time.Minute)
		refused(t, send(dry(alice), claims.HPKEPublicKey, digest), status.Untrusted, "provision.attestation")
	})
}

// TestLedgerCaps attests without end: a peer's oldest attestation makes room,
// used or not, and nobody else's does.
func TestLedgerCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		his, hisDigest := n.attest(bob, attest.PurposeProvision)
		first, firstDigest := n.attest(alice, attest.PurposeProvision)
		var last *attest.Claims
		var lastDigest [32]byte
		for range 16 {
			later(time.Second)
			last, lastDigest = n.attest(alice, attest.PurposeProvision)
		}
		try := func(p provider.PublisherID, claims *attest.Claims, digest [32]byte) error {
			c := order(t, p, provider.DryRun, app("app", img))
			req, _ := seal(t, c, claims.HPKEPublicKey, digest)
			_, _, err := n.send(t.Context(), c, req)
			return err
		}
		refused(t, try(alice, first, firstDigest), status.Untrusted, "provision.attestation")
		must(t, try(alice, last, lastDigest))
		must(t, try(bob, his, hisDigest))
		// Used ones count, too: they would be a way around the cap.
		for range 16 {
			later(time.Second)
			n.attest(alice, attest.PurposeProvision)
		}
		refused(t, try(alice, last, lastDigest), status.Untrusted, "provision.attestation")
	})
}

// TestDeletedIsNotRepeated: an order that made a pod does not make it again once
// it was deleted.
func TestDeletedIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		c := order(t, alice, provider.Create, app("app", w.image("sleep")))
		req, _ := n.sealed(c)
		for range 2 {
			_, _, err := n.send(t.Context(), c, req)
			must(t, err)
		}
		must(t, n.Delete(t.Context(), alice, "app", false))
		_, _, err := n.send(t.Context(), c, req)
		refused(t, err, status.Conflict, "provision.attestation_used")
		n.has()
	})
}

// TestSelfAppraisal is the operator's policy: a provider that does not pass it
// does not serve.
func TestSelfAppraisal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.boot(func(c *provider.Config) { c.Policy = policy.Builtin() })
		n.dead.Store(true)
		if err := <-n.ended; status.CodeOf(err) != status.Untrusted {
			t.Errorf("got %v", err)
		} else {
			n.ended <- err
		}
		select {
		case <-n.Ready():
			t.Error("it is ready")
		default:
		}
		n = w.run()
		ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
		ch.Nonce[0] = 1
		got, err := n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch}, nil)
		must(t, err)
		r, err := verify.Evidence(got.Evidence, got.Claims, ch, nil, verify.RootsShown(nil, got.Evidence), w.now())
		must(t, err)
		n.stop()
		w.run(func(c *provider.Config) { c.Policy = policy.FromResult([]*attest.Result{r}) })
	})
}

// TestBrokenDevice has a device that fails.
func TestBrokenDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		broken := errors.New("the device does not answer")
		n := w.boot(func(c *provider.Config) { c.Device = brokenDevice{broken} })
		n.dead.Store(true)
		if err := <-n.ended; !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		} else {
			n.ended <- err
		}
	})
}

type brokenDevice struct{ err error }

func (brokenDevice) Type() attest.Type { return attest.Soft }
func (d brokenDevice) Attest(context.Context, []byte) (attest.Evidence, error) {
	return attest.Evidence{}, d.err
}
func (d brokenDevice) DataKey(context.Context) ([]byte, error) { return nil, d.err }

// TestStates is the table of transitions.
func TestStates(t *testing.T) {
	all := []provider.State{
		provider.StateAccepted, provider.StateFetching, provider.StateStarting, provider.StateRunning,
		provider.StateFailed, provider.StateDeleting, provider.StateWaitingForKeys,
	}
	for _, s := range all {
		if !s.May(s) {
			t.Errorf("%s may not stay", s)
		}
		if s != provider.StateDeleting && !s.May(provider.StateDeleting) {
			t.Errorf("%s cannot be deleted", s)
		}
		if s != provider.StateDeleting && !s.May(provider.StateAccepted) {
			t.Errorf("%s cannot be replaced", s)
		}
		if provider.StateDeleting.May(s) != (s == provider.StateDeleting) {
			t.Errorf("a pod that is deleted may become %s", s)
		}
		if want := s == provider.StateAccepted; provider.State("").May(s) != want {
			t.Errorf("a pod may begin as %s: %v", s, !want)
		}
	}
	for from, to := range provider.Transitions() {
		for _, s := range to {
			if !slices.Contains(all, s) {
				t.Errorf("%s may become %s, which is no state", from, s)
			}
		}
	}
	for _, c := range [][2]provider.State{
		{provider.StateAccepted, provider.StateRunning},
		{provider.StateFetching, provider.StateRunning},
		{provider.StateFailed, provider.StateRunning},
		{provider.StateFailed, provider.StateStarting},
	} {
		if c[0].May(c[1]) {
			t.Errorf("%s may become %s", c[0], c[1])
		}
	}
}

// activating is a device whose evidence needs an activation, as a TPM's does.
type activating struct {
	brokenDevice
	quoted    chan struct{}
	activated error
}

func (activating) Type() attest.Type { return attest.TPM2 }

func (activating) Identity(context.Context) (attest.TPMIdentity, error) {
	return attest.TPMIdentity{EKPublic: []byte("ek")}, nil
}

func (activating) AKName(context.Context) ([]byte, error) { return bytes.Repeat([]byte{7}, 34), nil }

func (d activating) Attest(context.Context, []byte) (attest.Evidence, error) {
	defer close(d.quoted)
	return attest.Evidence{Type: attest.TPM2, TPM: &attest.TPMQuote{}}, d.err
}

func (d activating) Activate(_ context.Context, a attest.Activation) ([]byte, error) {
	return a.CredentialBlob, d.activated
}

// TestActivation quotes while the verifier works, and gives out nothing that
// the activation does not complete.
func TestActivation(t *testing.T) {
	busted := status.New(status.Unavailable, "tpm.failed", "the TPM did not do it")
	for name, c := range map[string]struct {
		device activating
		answer error
	}{
		"good":             {},
		"quote fails":      {device: activating{brokenDevice: brokenDevice{busted}}},
		"activation fails": {device: activating{activated: busted}},
		"verifier refuses": {answer: busted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.device.quoted = make(chan struct{})
			svc, err := provider.New(provider.Config{Peer: peerID(0), Device: c.device, Now: w.now, Log: w.log, Setup: setup, Tree: w.book, Heads: w.book, BootEpoch: []byte{3}})
			must(t, err)
			must(t, svc.OpenLog(t.Context()))
			ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
			got, err := svc.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch}, func(id attest.TPMIdentity) (attest.Activation, error) {
				<-c.device.quoted
				return attest.Activation{CredentialBlob: []byte("secret")}, c.answer
			})
			if name != "good" {
				refused(t, err, status.Unavailable, "tpm.failed")
				if got != nil {
					t.Errorf("got %+v all the same", got)
				}
				return
			}
			must(t, err)
			claims, err := attest.DecodeClaims(got.Claims)
			must(t, err)
			want := attest.ActivationProof([]byte("secret"), attest.ClaimsDigest(got.Claims))
			if len(claims.TPMAKName) != 34 || !bytes.Equal(got.Evidence[0].TPM.ActivationProof, want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
