package provider

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// signed is the receipt of a revision, kept because signing is asked for at
// every look at a pod.
type signed struct {
	revision  uint64
	endpoints []Endpoint
	envelope  []byte
	// builds are statements about its images, in their envelopes.
	builds [][]byte
	// buildIDs are those of the builds.
	buildIDs []PodID
}

// receipt returns the signed statement about a running pod as rec has it. It is
// signed anew when the revision or its endpoints change, and with each start of
// this process, whose key is new.
func (s *Service) receipt(ctx context.Context, p *pod, rec Record) ([]byte, error) {
	r, err := s.receiptAndBuilds(ctx, p, rec)
	if err != nil {
		return nil, err
	}
	return r.envelope, nil
}

// receiptAndBuilds is the receipt with the statements that it names.
func (s *Service) receiptAndBuilds(ctx context.Context, p *pod, rec Record) (*signed, error) {
	if rec.State != StateRunning {
		return nil, status.New(status.Unavailable, "pod.not_running", "pod %q is %s", rec.Name, rec.State).WithRetryAfter(retrySoon)
	}
	p.receipts.Lock()
	defer p.receipts.Unlock()
	if have := p.receipt; have != nil && have.revision == rec.Revision && slices.Equal(have.endpoints, rec.Endpoints) {
		return have, nil
	}
	m, err := manifest.Unmarshal(rec.Manifest)
	if err != nil {
		return nil, fmt.Errorf("reading the stored manifest: %w", err)
	}
	r := receipt.Receipt{
		Provider: peerText(s.cfg.Peer), PodID: string(rec.ID), Revision: rec.Revision, Manifest: rec.ManifestDigest, BootEpoch: s.keys.epoch,
		Started: rec.Updated.UTC().Truncate(time.Millisecond), Issued: s.cfg.Now().UTC().Truncate(time.Millisecond),
	}
	if r.LogPosition, r.LogHead, err = s.startOf(ctx, rec); err != nil {
		return nil, fmt.Errorf("looking for the pod's start in the log: %w", err)
	}
	// Each was compared with what the runtime reads back when it was made.
	for _, c := range m.Containers {
		r.Images = append(r.Images, receipt.Image{Container: c.Name, ImageID: c.Image.ImageID, CID: c.Image.CID})
	}
	for _, e := range rec.Endpoints {
		r.Endpoints = append(r.Endpoints, receipt.Endpoint{Container: e.Container, Protocol: string(e.Protocol), URL: e.URL})
	}
	builds, ids, err := s.builds(ctx, rec, &r)
	if err != nil {
		return nil, err
	}
	envelope, err := receipt.Sign(r, s.keys.receipt)
	if err != nil {
		return nil, fmt.Errorf("signing the receipt of pod %s: %w", rec.ID, err)
	}
	p.receipt = &signed{rec.Revision, slices.Clone(rec.Endpoints), envelope, builds, ids}
	return p.receipt, nil
}

// peerText is the text form of a binary peer id; hex where it is none.
func peerText(b []byte) string {
	id, err := peer.IDFromBytes(b)
	if err != nil {
		return hex.EncodeToString(b)
	}
	return id.String()
}
