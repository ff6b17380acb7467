package provider_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestMayBuild: who could not have a pod has nothing built. The attestation is not
// used up by it: the order comes afterwards.
func TestMayBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		may := func(p provider.PublisherID, claims [32]byte) error {
			return n.MayBuild(t.Context(), p, []byte(p), claims)
		}
		claims, digest := n.attest(alice, attest.PurposeProvision)
		must(t, may(alice, digest))
		must(t, may(alice, digest))
		c := order(t, alice, provider.DryRun, app("app", w.image("sleep")))
		req, _ := seal(t, c, claims.HPKEPublicKey, digest)
		_, _, err := n.send(t.Context(), c, req)
		must(t, err)
		must(t, may(alice, digest))

		refused(t, may(bob, digest), status.Untrusted, "provision.attestation")
		refused(t, may(alice, [32]byte{}), status.Untrusted, "provision.attestation")
		for _, purpose := range []attest.Purpose{attest.PurposeEndpoint, attest.PurposeOffer, attest.PurposeBuild} {
			_, other := n.attest(alice, purpose)
			refused(t, may(alice, other), status.Untrusted, "provision.purpose")
		}
		later(10 * time.Minute)
		refused(t, may(alice, digest), status.Untrusted, "provision.attestation")
	})
}

func TestPaidProviderBuildsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prices, err := offer.ParsePriceList([]byte("asset: USD\nprices: {cpu: 1/hour, memory: 1/hour}\npayment: {schemes: [evm-channel], address: \"eip155:1:0x00000000000000000000000000000000000000aa\"}\n"))
		must(t, err)
		w := newWorld(t)
		n := w.run(func(c *provider.Config) { c.Prices = prices })
		_, digest := n.attest(alice, attest.PurposeProvision)
		refused(t, n.MayBuild(t.Context(), alice, []byte(alice), digest), status.PermissionDenied, "payment.required")
	})
}

// refusing are publishers whose machines do not prove themselves.
type refusing struct{}

func (refusing) AttestPublisher(context.Context, []byte, attest.Challenge, []attest.Type, provider.Activate) (*provider.Attestation, error) {
	return nil, status.New(status.Unimplemented, "peer.protocol_missing", "it does not answer")
}

func TestUnprovenPublishersHaveNothingBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run(func(c *provider.Config) { c.PublisherPolicy, c.Publishers = policy.Builtin(), refusing{} })
		_, digest := n.attest(alice, attest.PurposeProvision)
		refused(t, n.MayBuild(t.Context(), alice, []byte(alice), digest), status.Untrusted, "provision.publisher_evidence")
	})
}
