package publisher

import (
	"context"
	"fmt"
	"slices"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// AttestPod is [Service.Attest] that also asks what became of an app: the
// verdict affirms only when the provider's pod log leads to what its device
// shows, and says that this manifest and these images were started, and nothing
// else in their place. Where the policy has a section about builds, it decides on the
// statements about these images, too.
func (s *Service) AttestPod(ctx context.Context, t Target, p *policy.Policy, app App) (*Attested, error) {
	if app.PodID == "" || app.Pending != nil && app.Revision == 0 {
		return nil, status.New(status.NotFound, "app.not_deployed", "app %q was not deployed to provider %s", app.Name, t.ID).
			WithHint("`publisher status` shows what runs where")
	}
	want, err := expectedPod(app)
	if err != nil {
		return nil, err
	}
	return s.attest(ctx, t, p, attest.PurposeProvision, AttestRequest{PodID: app.PodID, Log: true, Images: imagesOf(p, app.Images)}, want)
}

// expectedPod is an app as it was deployed last.
func expectedPod(app App) (*podlog.ExpectedPod, error) {
	digest, err := manifest.ParseDigest(app.ManifestDigest)
	if err != nil {
		return nil, fmt.Errorf("what is remembered of app %q: %w", app.Name, err)
	}
	want := &podlog.ExpectedPod{ID: app.PodID, Revision: app.Revision, Manifest: digest}
	for _, i := range app.Images {
		want.Images = append(want.Images, podlog.ExpectedImage{Container: i.Container, CID: i.CID, ImageID: i.ImageID})
	}
	if len(want.Images) == 0 {
		return nil, status.New(status.Internal, "app.no_images", "nothing is remembered of the images of app %q", app.Name).
			WithHint("deploy it again")
	}
	return want, nil
}

// replayLog holds what was shown of the pod log against the evidence and, where
// pod is not nil, against what was deployed. A log that replays becomes a fact
// for the policy. A provider may have been started again as often as it likes:
// each time it has to be set up anew.
func (a *Attested) replayLog(shown podlog.Shown, pod *podlog.ExpectedPod) []attest.Check {
	checks, entries := podlog.Appraise(a.Result, shown, podlog.Expected{
		Init: podlog.Started(a.Result), Rules: podlog.Rules{Restarts: podlog.MaxRecords}, Pod: pod,
	})
	a.Log = entries
	if entries == nil {
		return checks
	}
	facts := &attest.PodLogFacts{Register: a.Result.Claims.Register, Length: uint64(len(entries)), Events: map[string]int{}}
	for _, e := range entries {
		facts.Events[string(e.Record.Type)]++
		if e.Record.Type != podlog.TypeConfig {
			continue
		}
		c, ok := e.Event.(*podlog.Config)
		if !ok {
			// Without all of the configuration there is nothing to forbid by.
			return checks
		}
		facts.AccessPaths = append(facts.AccessPaths, c.AccessPaths...)
	}
	slices.Sort(facts.AccessPaths)
	facts.AccessPaths = slices.Compact(facts.AccessPaths)
	a.Result.PodLog = facts
	return checks
}

// addLog adds to the verdict what the pod log shows.
func (a *Attested) addLog(checks []attest.Check) {
	for _, c := range checks {
		a.Verdict.Affirmed = a.Verdict.Affirmed && c.OK
	}
	a.Verdict.Checks = append(a.Verdict.Checks, checks...)
	if len(checks) > 0 && checks[0].Anchor == attest.AnchorAgentAsserted {
		a.Verdict.Warnings = append(a.Verdict.Warnings, "pod log not in hardware: it is worth what the measured software is worth")
	}
}
