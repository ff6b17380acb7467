package provider

import (
	"context"
	"fmt"
	"slices"

	"apocryph/attest"
	"apocryph/attest/provenance"
	"apocryph/attest/receipt"
	"apocryph/manifest"
)

// MaxBuiltImages bounds the images of which statements are shown at once: each is
// looked up and signed.
const MaxBuiltImages = receipt.MaxProvenance

// statement is one about a build, signed with the key of this start.
type statement struct {
	// id is the build's.
	id       PodID
	digest   manifest.Digest
	envelope []byte
}

// statements are what is known of how images were built for owner, each once, and no
// more of them than are shown at once.
func (s *Service) statements(ctx context.Context, owner PublisherID, images []string) (out []statement, err error) {
	if s.cfg.Statements == nil {
		return nil, nil
	}
	total := 0
	for _, image := range images {
		payload, err := s.cfg.Statements.Statement(ctx, owner, image)
		if err != nil {
			return nil, fmt.Errorf("looking for how image %s was built: %w", image, err)
		}
		digest := provenance.Digest(payload)
		if payload == nil || slices.ContainsFunc(out, func(o statement) bool { return o.digest == digest }) {
			continue
		}
		envelope, err := provenance.Sign(payload, s.keys.receipt)
		if err != nil {
			return nil, fmt.Errorf("signing how image %s was built: %w", image, err)
		}
		b, err := provenance.Decode(payload)
		if err != nil {
			return nil, fmt.Errorf("reading how image %s was built: %w", image, err)
		}
		if total += len(envelope); total > attest.MaxStatements || len(out) == MaxBuiltImages {
			s.log.DebugContext(ctx, "statements about builds are left out", "owner", owner, "bytes", total)
			break
		}
		out = append(out, statement{PodID(b.ID), digest, envelope})
	}
	return out, nil
}

// builds returns the envelopes of what is known of how the images of a revision
// were built, and puts their digests into its receipt. A receipt names what can be
// shown with it, and nothing else.
func (s *Service) builds(ctx context.Context, rec Record, r *receipt.Receipt) (envelopes [][]byte, ids []PodID, err error) {
	images := make([]string, 0, len(r.Images))
	for _, i := range r.Images {
		images = append(images, i.ImageID)
	}
	list, err := s.statements(ctx, rec.Publisher, images)
	for _, b := range list {
		r.Provenance, envelopes, ids = append(r.Provenance, b.digest), append(envelopes, b.envelope), append(ids, b.id)
	}
	return envelopes, ids, err
}
