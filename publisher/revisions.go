package publisher

import (
	"context"
	"slices"
	"time"

	"apocryph/manifest"
	"apocryph/manifest/offer"
)

// maxPast is how many earlier revisions of an app are remembered: as many as a
// provider does.
const maxPast = 20

// Outcome is what became of a revision.
type Outcome string

// The outcomes of a revision.
const (
	OutcomePending Outcome = "pending"
	// OutcomeUp is a revision that passed its checks once.
	OutcomeUp     Outcome = "up"
	OutcomeFailed Outcome = "failed"
)

// PodRevision is what a provider says of one revision of a pod.
type PodRevision struct {
	Revision uint64
	// From is the revision that this one brought back, 0 where it was new.
	From    uint64
	Outcome Outcome
	Reason  string
	// Log is the last lines of a revision that failed.
	Log            []string
	ManifestDigest []byte
	// Images are empty where the provider does not keep the manifest any more.
	Images []AppImage
	At     time.Time
	// Current is the one that serves, Restorable those that can be rolled back to.
	Current, Restorable bool
}

// PodRollback asks for an earlier revision again.
type PodRollback struct {
	RequestID [16]byte
	Name      string
	// To is 0 for the newest earlier one that came up, Expected the revision that
	// is replaced.
	To, Expected uint64
}

// Revisions looks at a pod's revisions and changes between them.
type Revisions interface {
	// PodHistory returns the revisions of a pod, newest first.
	PodHistory(ctx context.Context, at ProviderID, name string) ([]PodRevision, error)
	// RollbackPod ends when the revision is healthy or has failed.
	RollbackPod(ctx context.Context, at ProviderID, req PodRollback, report func(Progress)) (Provisioned, error)
}

// DryRunAnswer is what a provider says that an order would change.
type DryRunAnswer struct {
	// Replaces is the revision that would be replaced, 0 for none.
	Replaces uint64
	Changes  []manifest.Change
	// More is how many changes there are beyond those.
	More uint32
	// Offer is not verified yet.
	Offer offer.Signed
}

// AppRevision is one revision as it was deployed from here.
type AppRevision struct {
	Revision       uint64
	ManifestDigest string
	Images         []AppImage
}

// remembered are the revisions before the next one. Of a provision that was
// never answered nobody knows which revision it made.
func (a App) remembered() []AppRevision {
	if a.Pending != nil || a.Revision == 0 {
		return a.Past
	}
	past := slices.DeleteFunc(slices.Clone(a.Past), func(r AppRevision) bool { return r.Revision == a.Revision })
	past = append(past, AppRevision{a.Revision, a.ManifestDigest, a.Images})
	return past[max(0, len(past)-maxPast):]
}

// History returns what was deployed of an app, newest first, by the word of its
// provider.
func (s *Service) History(ctx context.Context, app App) ([]PodRevision, error) {
	revisions, err := s.cfg.Revisions.PodHistory(ctx, app.Provider.ID, app.Name)
	if err != nil {
		return nil, err
	}
	// Which commit an image is of was verified when it was deployed; the provider's
	// word alone is not shown for it.
	known := map[string]AppImage{}
	for _, r := range append(app.remembered(), AppRevision{Images: app.Images}) {
		for _, i := range r.Images {
			known[i.CID+" "+i.ImageID] = i
		}
	}
	for _, r := range revisions {
		for n := range r.Images {
			i := &r.Images[n]
			k := known[i.CID+" "+i.ImageID]
			i.Repository, i.Commit, i.Tree, i.Statement = k.Repository, k.Commit, k.Tree, k.Statement
		}
	}
	return revisions, nil
}
