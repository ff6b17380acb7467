package publisher

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
	"apocryph/attest/tlog"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// maxLeaves is how many releases a provider is asked to show at once: no more
// than it answers.
const maxLeaves = 16

// RollbackRequest is one rollback.
type RollbackRequest struct {
	App App
	// To is the revision to bring back; 0 is the newest earlier one that came up.
	To uint64
	// Policy is nil for the one of the last deploy.
	Policy *GivenPolicy
	// Report is called for each step, from one goroutine at a time; may be nil.
	Report func(Event)
}

// RolledBack is the outcome of a rollback.
type RolledBack struct {
	App     App
	Verdict attest.Verdict
	// Replaced is the revision that served before.
	Replaced uint64
	// Unproven says what could not be held against what this publisher remembers.
	Unproven []string
}

// Rollback has a provider bring an earlier revision of an app back: the same
// manifest, images, keys and secrets, which it still has. Nothing is sent that it
// does not have; but what it has is used again, and so the provider is attested
// first, as for a deploy.
//
// The receipt has to be about the manifest that is answered for. That it is one
// which was deployed from here, that its images are, and that the release of its
// keys is in the log, is checked where it is remembered, and else is Unproven.
func (s *Service) Rollback(ctx context.Context, req RollbackRequest) (*RolledBack, error) {
	req.Report = serial(req.Report)
	app := req.App
	given, err := s.rollbackPolicy(ctx, req)
	if err != nil {
		return nil, err
	}
	releases, err := s.releasesOf(ctx, app)
	if err != nil {
		return nil, err
	}
	tree := &TreeRequest{}
	for _, r := range releases {
		tree.Leaves = append(tree.Leaves, r.entry.Leaf())
	}
	req.Report(Event{Event: "attest", Provider: string(app.Provider.ID)})
	known := imagesOf(given.Policy, app.imagesAt(req.To))
	a, err := s.attest(ctx, app.Provider, given.Policy, attest.PurposeProvision, AttestRequest{Tree: tree, Images: known}, nil)
	if err != nil {
		return nil, err
	}
	req.Report(Event{Event: "verdict", Provider: string(app.Provider.ID), Text: policy.SummaryLine(a.Verdict)})
	if !a.Verdict.Affirmed {
		return nil, denied(a.Verdict)
	}
	pods, err := s.cfg.Pods.PodStatus(ctx, app.Provider.ID, app.Name)
	if err != nil {
		return nil, err
	}
	if len(pods) != 1 {
		return nil, status.New(status.Unavailable, "pod.answer", "the provider answered with %d pods, want 1", len(pods))
	}
	if req.Policy != nil {
		if err := s.UsePolicy(ctx, app.Name, given); err != nil {
			return nil, err
		}
	}
	out := &RolledBack{Verdict: a.Verdict, Replaced: pods[0].Revision}
	got, err := s.sendRollback(ctx, req, out.Replaced)
	if err != nil {
		return nil, err
	}
	if err := s.adoptRollback(ctx, req, given.Policy, a, releases, got, out); err != nil {
		return nil, err
	}
	if err := s.judgeRestored(ctx, given.Policy, out.App, known); err != nil {
		return nil, err
	}
	return out, s.awaitAnswer(ctx, got.Endpoints, a.Result.Claims.IngressTLSKey, req.Report)
}

// imagesAt are the images of a revision that is remembered, nil for 0 and any other.
func (a App) imagesAt(revision uint64) []AppImage {
	for _, r := range a.remembered() {
		if revision != 0 && r.Revision == revision {
			return r.Images
		}
	}
	return nil
}

// judgeRestored asks the policy about the builds of what came back, where that was not
// known before: which revision it is the provider chose, or nobody here remembers.
func (s *Service) judgeRestored(ctx context.Context, p *policy.Policy, app App, judged []string) error {
	images := imagesOf(p, app.Images)
	if slices.Equal(images, judged) {
		return nil
	}
	a, err := s.attest(ctx, app.Provider, p, attest.PurposeProvision, AttestRequest{Images: images}, nil)
	if err != nil {
		return fmt.Errorf("asking how what came back was built: %w", err)
	}
	if !a.Verdict.Affirmed {
		return fmt.Errorf("revision %d runs: %w", app.Revision, denied(a.Verdict))
	}
	return nil
}

// rollbackPolicy is the policy that decides. The last one was checked when it was
// given; its signature is not kept.
func (s *Service) rollbackPolicy(ctx context.Context, req RollbackRequest) (GivenPolicy, error) {
	if req.Policy == nil {
		return s.LastPolicy(ctx, req.App.Name)
	}
	return *req.Policy, s.CheckPolicy(ctx, req.App.Name, *req.Policy)
}

// sendRollback asks and follows, over another stream where one breaks.
func (s *Service) sendRollback(ctx context.Context, req RollbackRequest, replaces uint64) (Provisioned, error) {
	ask := PodRollback{Name: req.App.Name, To: req.To, Expected: replaces}
	if _, err := rand.Read(ask.RequestID[:]); err != nil {
		return Provisioned{}, fmt.Errorf("making a request id: %w", err)
	}
	for try := 1; ; try++ {
		got, err := s.cfg.Revisions.RollbackPod(ctx, req.App.Provider.ID, ask, func(p Progress) { req.Report(provisionEvent(p)) })
		if status.ReasonOf(err) != "peer.lost" || try == sendTries || ctx.Err() != nil {
			return got, err
		}
		if _, connectErr := s.cfg.Connection.Connect(ctx, req.App.Provider); connectErr != nil {
			return got, err
		}
	}
}

// adoptRollback checks what came of a rollback and remembers it.
func (s *Service) adoptRollback(ctx context.Context, req RollbackRequest, p *policy.Policy, a *Attested, releases []pastRelease, got Provisioned, out *RolledBack) error {
	if len(got.ManifestDigest) != len(manifest.Digest{}) {
		return status.New(status.Untrusted, "rollback.digest", "the provider does not say which manifest runs")
	}
	want := running{manifest: manifest.Digest(got.ManifestDigest)}
	known, err := req.App.restored(req.To, want.manifest.String())
	if err != nil {
		return err
	}
	if known != nil {
		want.images = append([]AppImage{}, known.Images...)
	} else {
		out.Unproven = append(out.Unproven, "the manifest "+want.manifest.String()+" is not remembered here: what runs is by the provider's word")
	}
	key, signed, err := s.checkReceipt(ctx, p, a, want, got, out.Replaced)
	if err != nil {
		return err
	}
	if err := checkPastRelease(a, releases, want.manifest, got, out); err != nil {
		return err
	}
	app := req.App
	app.Past, app.Pending = app.remembered(), nil
	app.PodID, app.Revision, app.ManifestDigest, app.Images = got.PodID, got.Revision, want.manifest.String(), want.images
	if known == nil {
		app.Images = imagesIn(signed)
	}
	app.Endpoints, app.URL, app.Verdict = got.Endpoints, firstURL(got.Endpoints), policy.SummaryLine(a.Verdict)
	app.Receipt, app.ReceiptKey, app.Updated = got.Receipt, key, s.cfg.Now()
	out.App = app
	// Saved before the app answers, as by a deploy.
	return s.cfg.Apps.Save(ctx, app)
}

// restored is the revision of a digest, nil where none is remembered. It refuses
// another one in place of the one that was asked for.
func (a App) restored(to uint64, digest string) (*AppRevision, error) {
	all := a.remembered()
	for _, r := range all {
		if to != 0 && r.Revision == to && r.ManifestDigest != digest {
			return nil, status.New(status.Untrusted, "rollback.digest", "the provider brought %s back, revision %d was %s", digest, to, r.ManifestDigest)
		}
	}
	for _, r := range slices.Backward(all) {
		if r.ManifestDigest == digest && len(r.Images) > 0 {
			return &r, nil
		}
	}
	return nil, nil
}

func imagesIn(r receipt.Receipt) []AppImage {
	var out []AppImage
	for _, i := range r.Images {
		out = append(out, AppImage{Container: i.Container, CID: i.CID, ImageID: i.ImageID})
	}
	return out
}

// pastRelease is a release that this publisher made, and its entry in the log.
type pastRelease struct {
	SeenRelease
	entry tlog.Entry
}

// releasesOf are the newest releases of an app at its provider.
func (s *Service) releasesOf(ctx context.Context, app App) ([]pastRelease, error) {
	seen, err := s.cfg.Logs.Log(ctx, app.Provider.ID)
	if err != nil {
		return nil, err
	}
	var out []pastRelease
	for _, r := range slices.Backward(seen.Releases) {
		if r.App != app.Name || len(out) == maxLeaves {
			continue
		}
		e, err := tlog.ReleaseEntry(r.At, r.Claims, tlog.Release{Salt: r.Salt, Manifest: r.ManifestDigest, PodID: r.PodID})
		if err != nil {
			return nil, fmt.Errorf("what is remembered of a release: %w", err)
		}
		out = append(out, pastRelease{r, e})
	}
	return out, nil
}

// checkPastRelease checks that the log, as it was attested before the rollback,
// has the release of the keys that are used again. The proof that comes with the
// answer is not looked at: it goes on from a head of long ago.
func checkPastRelease(a *Attested, releases []pastRelease, digest manifest.Digest, got Provisioned, out *RolledBack) error {
	if a.tree == nil {
		return nil // a provider without a log
	}
	for i, r := range releases {
		if r.ManifestDigest != digest || r.PodID != got.PodID || got.Release != nil && r.Salt != got.Release.Salt {
			continue
		}
		if i >= len(a.tree.answer.Inclusions) {
			return status.New(status.Untrusted, "transparency.release", "the provider does not show the entry that was asked for")
		}
		p, err := decodeProof(nil, a.tree.answer.Inclusions[i], nil)
		if err != nil {
			return err
		}
		if err := tlog.CheckInclusion(a.tree.head, r.entry, p.Inclusion); err != nil {
			return fmt.Errorf("looking for the release of the keys in the provider's log: %w", err)
		}
		return nil
	}
	out.Unproven = append(out.Unproven, "the release of its keys is not remembered here: it was not looked for in the provider's log")
	return nil
}
