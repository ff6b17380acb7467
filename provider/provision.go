package provider

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// Operation is what a provision request wants. The numbers are those of the wire.
type Operation uint8

// The operations.
const (
	Create Operation = 1
	Update Operation = 2
	// DryRun checks everything and changes nothing.
	DryRun Operation = 3
)

// ProvisionRequest is what travels in the clear.
type ProvisionRequest struct {
	RequestID    [16]byte
	ClaimsDigest [32]byte
	Operation    Operation
	// Enc and Ciphertext are an HPKE message that decodes to an [Order].
	Enc, Ciphertext []byte
}

// Order is what was sealed to the attested key.
type Order struct {
	Manifest []byte
	// Keys are PKCS #8 DER private keys by key id.
	Keys    map[string][]byte
	Secrets map[string]map[string][]byte
	// Policy is the publisher's policy file; empty means none.
	Policy                 []byte
	OfferID, ReservationID string
	Payment                offer.Payment
	ExpectedRevision       uint64
	PublisherPeer          []byte
}

// opened is an order and the digest of the claims that it was sealed to.
type opened struct {
	Order
	claims [32]byte
	// source and from are those of [Past].
	source []byte
	from   uint64
	// dry takes what a dry run finds.
	dry *DryRunResult
}

// Provisioned is the outcome of a provision.
type Provisioned struct {
	PodID          PodID
	Revision       uint64
	Endpoints      []Endpoint
	Confirm        []byte
	ManifestDigest manifest.Digest
	// Receipt is a signed statement about the running pod, a DSSE envelope of
	// package apocryph/attest/receipt; empty for a dry run.
	Receipt []byte
	// Release is nil for a dry run.
	Release *ReleaseProof
	// Dry is what a dry run found; nil for what is no dry run.
	Dry *DryRunResult
}

// Provision carries out a sealed request and follows the pod until it is
// healthy or has failed. When ctx ends first the pod goes on. publisher is the
// authenticated other end, peer its binary form; decode reads the sealed bytes.
func (s *Service) Provision(ctx context.Context, publisher PublisherID, peer []byte, req ProvisionRequest,
	decode func([]byte) (Order, error), report func(Progress),
) (Provisioned, error) {
	if p := s.repeated(publisher, req.RequestID); p != nil {
		return s.follow(ctx, p, p.record().Revision, report)
	}
	now := s.cfg.Now()
	if err := s.ledger.use(req.ClaimsDigest, publisher, req.RequestID, now); err != nil {
		return Provisioned{}, err
	}
	if err := s.appraisePublisher(ctx, peer); err != nil {
		return Provisioned{}, err
	}
	plaintext, confirm, err := s.keys.hpke.Open(req.Enc, req.Ciphertext, req.ClaimsDigest, req.RequestID)
	if err != nil {
		return Provisioned{}, err
	}
	order, err := decode(plaintext)
	if err != nil {
		return Provisioned{}, err
	}
	if !bytes.Equal(order.PublisherPeer, peer) {
		return Provisioned{}, status.New(status.PermissionDenied, "provision.publisher", "the sealed request names another publisher than the one who sent it")
	}
	policyVersion := 0
	if len(order.Policy) > 0 {
		demanded, err := policy.Parse(order.Policy)
		if err != nil {
			return Provisioned{}, err
		}
		if err := s.appraiseSelf(ctx, demanded); err != nil {
			return Provisioned{}, err
		}
		policyVersion = demanded.Version
	}
	m, err := manifest.Unmarshal(order.Manifest)
	if err != nil {
		return Provisioned{}, err
	}
	if err := checkOrder(m, order); err != nil {
		return Provisioned{}, err
	}
	if err := offer.CheckPayment(order.Payment, s.cfg.Prices); err != nil {
		return Provisioned{}, err
	}
	want := Record{
		ID: PodIDOf(publisher, m.Name), Publisher: publisher, Name: m.Name, State: StateAccepted,
		RequestID: req.RequestID, ManifestDigest: manifest.DigestOf(order.Manifest), Manifest: order.Manifest,
		Keys: order.Keys, Secrets: order.Secrets, Confirm: confirm, Release: &KeyRelease{Claims: req.ClaimsDigest},
		OfferID: order.OfferID, PaymentScheme: order.Payment.Scheme, PolicyVersion: policyVersion,
		Created: now, Updated: now,
	}
	if req.Operation == DryRun {
		got, err := s.dryRun(ctx, want, m, opened{Order: order, claims: req.ClaimsDigest}, report)
		if err != nil {
			return Provisioned{}, err
		}
		if got.Dry.Signed, err = offer.Sign(got.Dry.Offer, s.keys.receipt); err != nil {
			return Provisioned{}, fmt.Errorf("signing the offer: %w", err)
		}
		return got, nil
	}
	p, revision, err := s.accept(ctx, want, m, req.Operation, opened{Order: order, claims: req.ClaimsDigest}, report)
	if err != nil {
		return Provisioned{}, err
	}
	return s.follow(ctx, p, revision, report)
}

// checkOrder refuses an order whose parts do not fit each other.
func checkOrder(m *manifest.Manifest, o Order) error {
	var faults []status.Fault
	used := map[string]bool{}
	for _, c := range m.Containers {
		if c.Image.KeyID == "" {
			continue
		}
		used[c.Image.KeyID] = true
		if len(o.Keys[c.Image.KeyID]) == 0 {
			faults = append(faults, status.Fault{Field: "image_keys", Got: "no key " + c.Image.KeyID, Want: "the key of container " + c.Name})
		}
	}
	for id := range o.Keys {
		if !used[id] {
			faults = append(faults, status.Fault{Field: "image_keys", Got: "key " + id, Want: "only keys that an image of the manifest names"})
		}
	}
	secret := func(name string) bool {
		return slices.ContainsFunc(m.Volumes, func(v manifest.Volume) bool { return v.Name == name && v.Kind == manifest.Secret })
	}
	for name := range o.Secrets {
		if !secret(name) {
			faults = append(faults, status.Fault{Field: "secrets", Got: name, Want: "the name of a secret volume"})
		}
	}
	for _, v := range m.Volumes {
		if v.Kind == manifest.Secret {
			faults = append(faults, manifest.SecretFaults("secrets."+v.Name, o.Secrets[v.Name])...)
		}
	}
	slices.SortFunc(faults, func(a, b status.Fault) int {
		return bytes.Compare([]byte(a.Field+a.Got), []byte(b.Field+b.Got))
	})
	if len(faults) > 0 {
		return status.Invalid("provision.parts", "the sealed request", faults)
	}
	return nil
}

// repeated finds the pod that a request id already made.
func (s *Service) repeated(publisher PublisherID, id [16]byte) *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if r := p.record(); r.Revision > 0 && r.Publisher == publisher && r.RequestID == id {
			return p
		}
	}
	return nil
}

// follow waits until a revision is healthy or has failed.
func (s *Service) follow(ctx context.Context, p *pod, revision uint64, report func(Progress)) (Provisioned, error) {
	// However fast the pod comes up, its caller hears that it was accepted.
	last := Progress{Stage: StageAccepted}
	report(last)
	for {
		p.mu.Lock()
		rec, pr, failure, changed, gone, lost := p.rec, p.progress, p.failure, p.changed, p.gone, p.lost
		p.mu.Unlock()
		switch {
		case lost.why != nil && lost.revision == revision:
			return Provisioned{}, lost.why
		case gone || rec.State == StateDeleting:
			return Provisioned{}, status.New(status.Conflict, "pod.deleted", "pod %q was deleted meanwhile", rec.Name)
		case rec.Revision != revision:
			return Provisioned{}, status.New(status.Conflict, "pod.superseded", "revision %d of pod %q was replaced by revision %d", revision, rec.Name, rec.Revision)
		case failure != nil:
			// Told even where the disk is too full to store it.
			return Provisioned{}, failure
		case rec.State == StateFailed:
			return Provisioned{}, status.New(status.AppFailed, "pod.failed", "pod %q failed: %s", rec.Name, rec.Reason)
		case rec.State == StateWaitingForKeys:
			return Provisioned{}, status.New(status.Conflict, "pod.waiting_for_keys", "pod %q waits for keys: %s", rec.Name, rec.Reason).
				WithHint("deploy it again")
		case rec.State == StateRunning:
			report(Progress{Stage: StageHealthy})
			envelope, err := s.receipt(ctx, p, rec)
			if err != nil {
				return Provisioned{}, err
			}
			release, err := s.showRelease(ctx, rec)
			if err != nil {
				return Provisioned{}, fmt.Errorf("showing the release of the keys: %w", err)
			}
			return Provisioned{
				PodID: rec.ID, Revision: rec.Revision, Endpoints: rec.Endpoints, Confirm: rec.Confirm,
				ManifestDigest: rec.ManifestDigest, Receipt: envelope, Release: release,
			}, nil
		}
		if pr != last {
			last = pr
			report(pr)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Provisioned{}, ctx.Err()
		}
	}
}
