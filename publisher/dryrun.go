package publisher

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/keyrelease"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// DryRunResult is what a deploy would change, and what it would cost.
type DryRunResult struct {
	Name     string
	Provider Target
	Verdict  attest.Verdict
	// Replaces is the revision that would be replaced, 0 for a new app.
	Replaces uint64
	Changes  []manifest.Change
	// More is how many changes there are that the provider did not list.
	More  uint32
	Offer offer.Offer
}

// DryRun asks a provider what a deploy would change and cost. Manifest and
// secrets are compared by the provider, and so are sealed to its attested key as
// for a deploy; it keeps nothing of them. No image is encrypted or published, no
// key of one is sent, and nothing is reserved or remembered.
func (s *Service) DryRun(ctx context.Context, req DeployRequest) (*DryRunResult, error) {
	req.Report, req.dry = serial(req.Report), true
	warnings, err := req.checkBuilds()
	if err != nil {
		return nil, err
	}
	if err := s.CheckPolicy(ctx, req.Manifest.Name, req.given()); err != nil {
		return nil, err
	}
	secrets, err := ReadSecrets(req.Manifest, req.Dir)
	if err != nil {
		return nil, err
	}
	p, err := s.unsealed(ctx, req, secrets)
	if err != nil {
		return nil, err
	}
	choices, err := s.choose(ctx, req)
	if err != nil {
		return nil, err
	}
	var refused []error
	for _, c := range choices {
		d, err := s.dryRunAt(ctx, req, c.attested, p)
		if err == nil {
			d.Verdict.Warnings = append(d.Verdict.Warnings, warnings...)
			return d, nil
		}
		refused = append(refused, fmt.Errorf("provider %s: %w", c.attested.Provider.ID, err))
		if code := status.CodeOf(err); ctx.Err() != nil || code != status.ResourceExhausted && code != status.Unavailable {
			break
		}
	}
	return nil, joinRefusals(refused)
}

// unsealed is pin for images that stay where they are.
func (s *Service) unsealed(ctx context.Context, req DeployRequest, secrets map[string]map[string][]byte) (*pinned, error) {
	m := *req.Manifest
	m.Containers = append([]manifest.Container(nil), req.Manifest.Containers...)
	for i := range m.Containers {
		c := &m.Containers[i]
		img, err := s.cfg.Resolver.Resolve(ctx, c.Image.Ref, req.Dir, req.Platform)
		if err != nil {
			return nil, fmt.Errorf("resolving the image of container %s: %w", c.Name, err)
		}
		req.Report(Event{Event: "resolve", Image: c.Name, Text: c.Image.Ref})
		if c.Image, err = manifest.ByID(fmt.Sprintf("sha256:%x", sha256.Sum256(img.Config))); err != nil {
			return nil, err
		}
	}
	b, err := manifest.Marshal(&m)
	if err != nil {
		return nil, err
	}
	return &pinned{
		manifest: &m, digest: manifest.DigestOf(b),
		order: Order{Manifest: b, Secrets: secrets, Policy: req.PolicyFile, Payment: req.Payment, PublisherPeer: s.cfg.Peer},
	}, nil
}

func (s *Service) dryRunAt(ctx context.Context, req DeployRequest, a *Attested, p *pinned) (*DryRunResult, error) {
	req.Report(Event{Event: "quote", Provider: string(a.Provider.ID), Text: priceText(*a.Offer)})
	// What is sealed may be secret, whatever becomes of it.
	if err := s.UsePolicy(ctx, req.Manifest.Name, req.given()); err != nil {
		return nil, err
	}
	plaintext, err := s.cfg.Codec.EncodeOrder(p.order)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("making a request id: %w", err)
	}
	enc, ciphertext, confirm, err := keyrelease.Seal(a.Result.Claims.HPKEPublicKey, a.ClaimsDigest, id, plaintext)
	if err != nil {
		return nil, err
	}
	got, err := s.send(ctx, a.Provider, ProvisionRequest{RequestID: id, ClaimsDigest: a.ClaimsDigest, Operation: DryRun, Enc: enc, Ciphertext: ciphertext}, req.Report)
	if err != nil {
		return nil, err
	}
	if err := keyrelease.CheckConfirm(confirm, got.Confirm); err != nil {
		return nil, err
	}
	switch {
	case !bytes.Equal(got.ManifestDigest, p.digest[:]):
		return nil, status.New(status.Untrusted, "provision.digest", "the provider looked at another manifest than the one sent")
	case got.Dry == nil:
		return nil, status.New(status.Unimplemented, "deploy.dry_run", "the provider runs an older version, which does not say what a deploy would change").
			WithHint("`publisher quote` says what it costs")
	}
	d := &DryRunResult{Name: p.manifest.Name, Provider: a.Provider, Verdict: a.Verdict, Replaces: got.Dry.Replaces, Changes: got.Dry.Changes, More: got.Dry.More}
	if d.Offer, err = s.readOffer(a.Result.Claims, got.Dry.Offer, needsOf(req)); err != nil {
		return nil, err
	}
	return d, acceptable(req.Policy, d.Offer)
}
