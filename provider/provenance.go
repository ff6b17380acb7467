package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"apocryph/attest/podlog"
	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// Statements keeps what this provider has said of how it built images: statements
// of package provenance, not yet signed. They outlive the key of one start and are
// believed as they come back, so whatever keeps them must know its own.
//
// One image may be built for several owners, each from a source of its own: they
// do not see or replace each other's.
type Statements interface {
	// Statement returns nil where nothing is kept.
	Statement(ctx context.Context, owner PublisherID, imageID string) ([]byte, error)
	PutStatement(ctx context.Context, owner PublisherID, imageID string, statement []byte) error
	DropStatement(ctx context.Context, owner PublisherID, imageID string) error
}

// Built notes that this provider has built an image for owner: it states how in an
// envelope that is signed with the key of this start, lets keep put it beside the
// sealed image, logs build-done with the CID that keep returns, and keeps the
// statement for receipts of the owner's pods. b.Builder is set.
//
// The event is of the pod id that is the build's id: whoever has the build can open it.
func (s *Service) Built(ctx context.Context, owner PublisherID, b provenance.Build, keep func(envelope []byte) (cid string, err error)) ([]byte, error) {
	if s.cfg.Statements == nil {
		return nil, status.New(status.Internal, "provenance.store", "this provider keeps no statements about builds")
	}
	b.Builder = provenance.BuilderOf(peerText(s.cfg.Peer))
	statement, err := provenance.Encode(b)
	if err != nil {
		return nil, fmt.Errorf("stating how an image was built: %w", err)
	}
	envelope, err := s.SignBuilt(statement)
	if err != nil {
		return nil, err
	}
	image, err := manifest.ParseDigest(b.ImageID)
	if err != nil {
		return nil, fmt.Errorf("reading the id of a built image: %w", err)
	}
	cid, err := keep(envelope)
	if err != nil {
		return nil, fmt.Errorf("keeping a built image: %w", err)
	}
	// Logged first: nobody sees a statement that the log does not have.
	err = s.cfg.Log.Append(ctx, PodID(b.ID), &podlog.BuildDone{
		At: s.instant(), PodID: b.ID, Source: sourceText(b), ImageID: image, CID: cid, Provenance: provenance.Digest(statement),
	})
	if err != nil {
		return nil, fmt.Errorf("logging %s: %w", podlog.TypeBuildDone, err)
	}
	if known, err := s.commitKnown(ctx, owner, b); err != nil || known {
		return envelope, err
	}
	if err := s.cfg.Statements.PutStatement(ctx, owner, b.ImageID, statement); err != nil {
		return nil, fmt.Errorf("keeping a statement about a build: %w", err)
	}
	return envelope, nil
}

// commitKnown reports whether b is an upload of what the owner has had built from a
// commit: the image is the same to the bit, and the commit says more.
func (s *Service) commitKnown(ctx context.Context, owner PublisherID, b provenance.Build) (bool, error) {
	if b.Source != nil {
		return false, nil
	}
	have, err := s.cfg.Statements.Statement(ctx, owner, b.ImageID)
	if err != nil {
		return false, fmt.Errorf("looking for an earlier build of image %s: %w", b.ImageID, err)
	}
	if have == nil {
		return false, nil
	}
	old, err := provenance.Decode(have)
	return err == nil && old.Source != nil, nil
}

// SignBuilt signs a statement that [Service.Built] made, in this process or an
// earlier one, with the key of this start. Whoever calls must have kept it where
// nobody else writes.
func (s *Service) SignBuilt(statement []byte) ([]byte, error) {
	return provenance.Sign(statement, s.keys.receipt)
}

// DropBuilt forgets what is said of an image. Where a pod of the owner has it, in a
// revision that runs or may come back, that is a conflict "provenance.in_use": its
// receipts name the statement.
func (s *Service) DropBuilt(ctx context.Context, owner PublisherID, imageID string) error {
	if s.cfg.Statements == nil {
		return nil
	}
	s.mu.Lock()
	pods := slices.Collect(maps.Values(s.pods))
	s.mu.Unlock()
	for _, p := range pods {
		if rec := p.record(); rec.Publisher == owner && p.has(imageID, rec) {
			return status.New(status.Conflict, "provenance.in_use", "pod %q has the image %s", rec.Name, imageID)
		}
	}
	if err := s.cfg.Statements.DropStatement(ctx, owner, imageID); err != nil {
		return fmt.Errorf("forgetting how image %s was built: %w", imageID, err)
	}
	return nil
}

// has reports whether a revision that is kept has an image. A manifest that cannot
// be read may have any.
func (p *pod) has(imageID string, rec Record) bool {
	manifests := [][]byte{rec.Manifest}
	p.history.Lock()
	for _, r := range p.pasts {
		manifests = append(manifests, r.Manifest)
	}
	p.history.Unlock()
	return slices.ContainsFunc(manifests, func(raw []byte) bool {
		if raw == nil {
			return false
		}
		m, err := manifest.Unmarshal(raw)
		return err != nil || slices.ContainsFunc(m.Containers, func(c manifest.Container) bool { return c.Image.ImageID == imageID })
	})
}

// maxSourceText is what the log takes of a text, in bytes.
const maxSourceText = 256

// sourceText is what an image was built from, in the log's printable ASCII. The
// statement has it in full.
func sourceText(b provenance.Build) string {
	text := "upload " + b.Upload
	if b.Source != nil {
		// The commit first: a long URL is what can be cut.
		text = b.Source.Commit + " " + b.Source.Repository
	}
	out := []byte(text[:min(len(text), maxSourceText)])
	for i, c := range out {
		if c < ' ' || c > '~' {
			out[i] = '?'
		}
	}
	return string(out)
}
