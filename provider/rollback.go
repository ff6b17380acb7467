package provider

import (
	"context"
	"fmt"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// RollbackRequest asks for an earlier revision again.
type RollbackRequest struct {
	Publisher PublisherID
	Name      string
	RequestID [16]byte
	// To is the revision to bring back; 0 is the newest earlier one that came up.
	To uint64
	// Expected is the revision that is replaced; 0 is whichever serves.
	Expected uint64
	// Source is kept in the history; nil is that of the revision brought back.
	Source []byte
}

// Rollback makes a new revision of what an earlier one was: the same manifest,
// images, keys and secrets. It is rolled out like any other. Nothing new is
// released to this provider by it.
func (s *Service) Rollback(ctx context.Context, req RollbackRequest, report func(Progress)) (Provisioned, error) {
	if p := s.repeated(req.Publisher, req.RequestID); p != nil {
		return s.follow(ctx, p, p.record().Revision, report)
	}
	p, err := s.find(req.Publisher, req.Name)
	if err != nil {
		return Provisioned{}, err
	}
	rec := p.record()
	if rec.Locked {
		return Provisioned{}, status.New(status.Conflict, "pod.waiting_for_keys", "pod %q waits for keys: %s", rec.Name, lockedReason).
			WithHint("deploy it again")
	}
	past, err := s.past(ctx, rec, req.To)
	if err != nil {
		return Provisioned{}, err
	}
	m, err := manifest.Unmarshal(past.Manifest)
	if err != nil {
		return Provisioned{}, fmt.Errorf("reading the stored manifest: %w", err)
	}
	now := s.cfg.Now()
	want := Record{
		ID: rec.ID, Publisher: rec.Publisher, Name: rec.Name, State: StateAccepted, RequestID: req.RequestID,
		ManifestDigest: past.ManifestDigest, Manifest: past.Manifest, Keys: past.Keys, Secrets: past.Secrets,
		Release: past.Release, OfferID: rec.OfferID, PaymentScheme: rec.PaymentScheme, PolicyVersion: rec.PolicyVersion,
		Created: now, Updated: now,
	}
	order := opened{Order: Order{ExpectedRevision: rec.Revision}, from: past.Revision, source: past.Source}
	if req.Source != nil {
		order.source = req.Source
	}
	if req.Expected != 0 {
		order.ExpectedRevision = req.Expected
	}
	if past.Release != nil {
		order.claims = past.Release.Claims
	}
	p, revision, err := s.accept(ctx, want, m, Update, order, report)
	if err != nil {
		return Provisioned{}, err
	}
	return s.follow(ctx, p, revision, report)
}

// Direct is an order of somebody who trusts this provider: it comes in the clear
// over a connection that the front door has authenticated, and nothing is
// attested before it.
type Direct struct {
	// Tenant owns the pod. It is no peer id.
	Tenant    PublisherID
	RequestID [16]byte
	Manifest  []byte
	// Keys open the images, which the front door has sealed.
	Keys    map[string][]byte
	Secrets map[string]map[string][]byte
	// Expected is the revision that is replaced; 0 is whichever serves, or none.
	Expected uint64
	// Source is kept in the history.
	Source []byte
	// DryRun checks everything and changes nothing.
	DryRun bool
}

// Deploy creates or updates a pod and follows it until it is healthy or has failed.
// When ctx ends first the pod goes on.
func (s *Service) Deploy(ctx context.Context, d Direct, report func(Progress)) (Provisioned, error) {
	if p := s.repeated(d.Tenant, d.RequestID); p != nil {
		return s.follow(ctx, p, p.record().Revision, report)
	}
	m, err := manifest.Unmarshal(d.Manifest)
	if err != nil {
		return Provisioned{}, err
	}
	order := opened{Order: Order{Manifest: d.Manifest, Keys: d.Keys, Secrets: d.Secrets, ExpectedRevision: d.Expected}, source: d.Source}
	if err := checkOrder(m, order.Order); err != nil {
		return Provisioned{}, err
	}
	now := s.cfg.Now()
	want := Record{
		ID: PodIDOf(d.Tenant, m.Name), Publisher: d.Tenant, Name: m.Name, State: StateAccepted, RequestID: d.RequestID,
		ManifestDigest: manifest.DigestOf(d.Manifest), Manifest: d.Manifest, Keys: d.Keys, Secrets: d.Secrets,
		PaymentScheme: "none", Created: now, Updated: now,
	}
	op := Create
	if p, err := s.find(d.Tenant, m.Name); err == nil {
		rec := p.record()
		if rec.State != StateFailed {
			op = Update
			if order.ExpectedRevision == 0 {
				order.ExpectedRevision = rec.Revision
			}
		}
	}
	if op == Create && d.Expected != 0 {
		return Provisioned{}, status.New(status.Conflict, "pod.revision", "there is no pod %q to be at revision %d", m.Name, d.Expected)
	}
	if d.DryRun {
		return s.dryRun(ctx, want, m, order, report)
	}
	p, revision, err := s.accept(ctx, want, m, op, order, report)
	if err != nil {
		return Provisioned{}, err
	}
	return s.follow(ctx, p, revision, report)
}

// restore brings the revision back that one which failed has replaced. Who
// follows the failed one hears why it failed.
func (s *Service) restore(ctx context.Context, p *pod, failed Record, back Past, why *status.Error) error {
	m, err := manifest.Unmarshal(back.Manifest)
	if err != nil {
		return fmt.Errorf("reading the stored manifest: %w", err)
	}
	endpoints, err := s.cfg.Names.Assign(failed.Publisher, failed.ID, m, failed.Endpoints)
	if err != nil {
		s.log.Warn("taking a pod's names again", "pod", failed.ID, "err", err)
		endpoints = failed.Endpoints
	}
	s.cfg.Charges.Restore(failed.ID, offer.NeedsOf(m))
	next := p.highest() + 1
	s.log.Warn("the revision before is brought back", "pod", failed.ID, "failed", failed.Revision, "back", back.Revision, "as", next)
	err = s.advance(ctx, p, failed.Revision, func(r *Record) {
		p.lost.revision, p.lost.why = failed.Revision, why.WithHint("revision %d is back as revision %d", back.Revision, next)
		r.State, r.Reason, r.Revision, r.Endpoints = StateAccepted, "", next, endpoints
		r.ManifestDigest, r.Manifest, r.Keys, r.Secrets, r.Release = back.ManifestDigest, back.Manifest, back.Keys, back.Secrets, back.Release
		r.Obsolete = nil
	})
	if err == nil {
		s.remember(ctx, p, p.record(), OutcomePending, func(r *Past) { r.From, r.Source = back.Revision, back.Source })
	}
	return err
}

// Ordered is what was ordered as a revision that can be rolled back to, or is
// current. It is for those whom the provider has the order from in the clear.
func (s *Service) Ordered(ctx context.Context, tenant PublisherID, name string, revision uint64) (Direct, error) {
	p, err := s.find(tenant, name)
	if err != nil {
		return Direct{}, err
	}
	rec := p.record()
	if rec.Revision == revision && rec.Manifest != nil {
		return Direct{Tenant: tenant, Manifest: rec.Manifest, Keys: rec.Keys, Secrets: rec.Secrets}, nil
	}
	past, err := s.past(ctx, rec, revision)
	if err != nil {
		return Direct{}, err
	}
	return Direct{Tenant: tenant, Manifest: past.Manifest, Keys: past.Keys, Secrets: past.Secrets, Source: past.Source}, nil
}
