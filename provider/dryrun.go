package provider

import (
	"context"
	"fmt"

	"apocryph/manifest"
	"apocryph/manifest/offer"
)

// DryRunResult is what an order would change, and what it would cost.
type DryRunResult struct {
	// Replaces is the revision that the order would take the place of; 0 for none,
	// or for one that failed: then everything is added.
	Replaces uint64
	// Changes are those of the manifest, then those of secret files.
	Changes []manifest.Change
	// Offer is for the order's needs. It holds nothing.
	Offer offer.Offer
	// Signed is the same for a publisher who has attested this provider.
	Signed offer.Signed
}

// dryRun checks an order as if it were carried out, and changes nothing.
func (s *Service) dryRun(ctx context.Context, want Record, m *manifest.Manifest, order opened, report func(Progress)) (Provisioned, error) {
	order.dry = new(DryRunResult)
	if _, _, err := s.accept(ctx, want, m, DryRun, order, report); err != nil {
		return Provisioned{}, err
	}
	return Provisioned{PodID: want.ID, ManifestDigest: want.ManifestDigest, Confirm: want.Confirm, Dry: order.dry}, nil
}

// compare fills in a dry run. It refuses what there is no room for. A pod that
// waits for its keys cannot be read here: everything counts as added.
func (s *Service) compare(ctx context.Context, have, want Record, m *manifest.Manifest, needs offer.Needs, dry *DryRunResult) error {
	var err error
	if dry.Offer, err = s.cfg.Capacity.Quote(ctx, want.Publisher, needs); err != nil {
		return err
	}
	if err := dry.Offer.Short(); err != nil {
		return err
	}
	var old *manifest.Manifest
	var secrets map[string]map[string][]byte
	if have.Revision > 0 && have.State != StateFailed {
		dry.Replaces = have.Revision
		if !have.Locked {
			if old, err = manifest.Unmarshal(have.Manifest); err != nil {
				return fmt.Errorf("reading the stored manifest: %w", err)
			}
			secrets = have.Secrets
		}
	}
	dry.Changes = append(manifest.Diff(old, m), manifest.DiffSecrets(secrets, want.Secrets)...)
	return nil
}
