package provider

import (
	"context"
	"fmt"
	"slices"
)

// trim forgets revisions that are more than are kept. The current one stays
// whatever its age.
func (s *Service) trim(ctx context.Context, p *pod) error {
	rec := p.record()
	p.history.Lock()
	defer p.history.Unlock()
	up, all := 0, 0
	for _, r := range slices.Backward(slices.Clone(p.pasts)) {
		all++
		if r.restorable() {
			up++
		}
		switch {
		case r.Revision == rec.Revision:
			continue
		case all > keptRevisions:
			if err := s.drop(ctx, p, r); err != nil {
				return err
			}
		case r.restorable() && up > keptImages:
			if err := s.strip(ctx, p, r.Revision); err != nil {
				return err
			}
		}
	}
	return nil
}

// strip gives up what a roll back to a revision would need. The caller holds p.history.
func (s *Service) strip(ctx context.Context, p *pod, revision uint64) error {
	id := p.record().ID
	pasts, err := s.cfg.History.Pasts(ctx, id)
	if err != nil {
		return fmt.Errorf("reading the history of pod %s: %w", id, err)
	}
	for _, r := range pasts {
		if r.Revision != revision {
			continue
		}
		r.Manifest, r.Keys, r.Secrets = nil, nil, nil
		if err := s.cfg.History.SavePast(ctx, r); err != nil {
			return fmt.Errorf("storing revision %d of pod %s: %w", revision, id, err)
		}
		p.note(r)
	}
	if err := s.cfg.Images.Release(ctx, instanceID(id, revision, 0)); err != nil {
		return fmt.Errorf("releasing the images of revision %d of pod %s: %w", revision, id, err)
	}
	return nil
}

// drop forgets a revision. The caller holds p.history.
func (s *Service) drop(ctx context.Context, p *pod, r Past) error {
	if err := s.cfg.History.DropPast(ctx, r.Pod, r.Revision); err != nil {
		return fmt.Errorf("forgetting revision %d of pod %s: %w", r.Revision, r.Pod, err)
	}
	p.pasts = slices.DeleteFunc(p.pasts, func(x Past) bool { return x.Revision == r.Revision })
	if !r.restorable() {
		return nil
	}
	if err := s.cfg.Images.Release(ctx, instanceID(r.Pod, r.Revision, 0)); err != nil {
		return fmt.Errorf("releasing the images of revision %d of pod %s: %w", r.Revision, r.Pod, err)
	}
	return nil
}

// dropAll forgets all revisions of a pod, which is deleted.
func (s *Service) dropAll(ctx context.Context, p *pod) error {
	p.history.Lock()
	defer p.history.Unlock()
	for _, r := range slices.Clone(p.pasts) {
		if err := s.drop(ctx, p, r); err != nil {
			return err
		}
	}
	return nil
}
