package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/httpclient"
)

// deployments are those of the app's environment, newest first, and the index of
// the one that serves: -1 for none.
func (d *direct) deployments(ctx context.Context) ([]httpclient.Deployment, int, error) {
	all, err := d.client.Deployments(ctx, d.AppID)
	if err != nil {
		return nil, -1, err
	}
	all = slices.DeleteFunc(all, func(o httpclient.Deployment) bool { return o.Environment != d.Environment })
	if len(all) == 0 {
		return nil, -1, status.New(status.NotFound, "deployment.none", "%s has no deployment in %s", d.Name, d.Environment)
	}
	return all, slices.IndexFunc(all, cameUp), nil
}

func cameUp(d httpclient.Deployment) bool { return d.Status == "succeeded" }

// reasonOf is why a deployment did not come up.
func reasonOf(d httpclient.Deployment) string {
	if d.Failure == nil {
		return ""
	}
	return d.Failure.Detail
}

// statusDirect shows the latest deployment, and the one that serves.
func (g *globals) statusDirect(ctx context.Context, a *direct) error {
	all, serves, err := a.deployments(ctx)
	if err != nil {
		return err
	}
	latest, shown := all[0], all[max(serves, 0)]
	reason := reasonOf(latest)
	if serves > 0 {
		reason = strings.TrimPrefix(reason+fmt.Sprintf("; revision %d serves", shown.Revision), "; ")
	}
	if g.app.JSON {
		g.app.Result(struct {
			directFields
			State   string    `json:"state"`
			Reason  string    `json:"reason"`
			Created time.Time `json:"created"`
			Updated time.Time `json:"updated"`
		}{directFieldsOf(recordOf(&shown, a.API)), latest.Status, reason, latest.Created, latest.Updated})
		return nil
	}
	pod := publisher.PodStatus{
		Name: a.Name, State: cmp.Or(latest.Status, "unknown"), Reason: reason, Revision: shown.Revision, Updated: latest.Updated,
		ManifestDigest: digestBytes(shown.ManifestDigest),
	}
	for _, u := range []string{shown.URL, shown.PreviewURL} {
		if at, err := url.Parse(u); err == nil && u != "" {
			pod.Endpoints = append(pod.Endpoints, publisher.Endpoint{Container: a.Name, URL: u, Dial: at.Host + at.Path})
		}
	}
	return g.printStatus(publisher.App{Name: a.Name, Provider: publisher.Target{ID: publisher.ProviderID(a.API)}, Verdict: notAttested}, pod)
}

// digestBytes is what "sha256:HEX" says, nothing for any other text.
func digestBytes(digest string) []byte {
	b, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return nil
	}
	return b
}

func (g *globals) historyDirect(ctx context.Context, a *direct) error {
	all, serves, err := a.deployments(ctx)
	if err != nil {
		return err
	}
	var revisions []publisher.PodRevision
	for i, d := range all {
		r := publisher.PodRevision{
			Revision: d.Revision, From: d.Rollback, Outcome: publisher.Outcome(d.Status), Reason: reasonOf(d), At: d.Created,
			ManifestDigest: digestBytes(d.ManifestDigest), Current: i == serves, Restorable: cameUp(d) && i != serves,
		}
		if cameUp(d) {
			r.Outcome = publisher.OutcomeUp
		}
		if d.Failure != nil {
			r.Log = d.Failure.Log
		}
		if d.ImageDigest != "" {
			r.Images = []publisher.AppImage{{Container: a.Name, ImageID: d.ImageDigest}}
		}
		revisions = append(revisions, r)
	}
	return g.printHistory(struct {
		App         string `json:"app"`
		API         string `json:"api"`
		Namespace   string `json:"namespace"`
		Environment string `json:"environment"`
		Revisions   int    `json:"revisions"`
	}{a.Name, a.API, a.Namespace, a.Environment, len(revisions)}, revisions)
}

func (g *globals) logsDirect(ctx context.Context, a *direct, q publisher.LogQuery) error {
	all, serves, err := a.deployments(ctx)
	if err != nil {
		return err
	}
	lines := 0
	query := httpclient.LogQuery{Container: q.Container, Follow: q.Follow, Since: q.Since, Tail: q.Tail}
	err = a.client.Logs(ctx, all[max(serves, 0)].ID, query, func(l httpclient.LogLine) error {
		lines++
		return g.printLine(publisher.LogLine{Container: l.Container, Time: l.Time, Stream: l.Stream, Text: []byte(l.Text)}, false)
	})
	g.printedLines(a.Name, lines)
	return err
}

// rollbackDirect brings back what an earlier deployment ran.
func (g *globals) rollbackDirect(ctx context.Context, a *direct, o rollbackOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, errTimeUp)
	defer cancel()
	all, serves, err := a.deployments(ctx)
	if err != nil {
		return err
	}
	target := slices.IndexFunc(all, func(d httpclient.Deployment) bool {
		if o.to > 0 {
			return cameUp(d) && d.Revision == o.to
		}
		return cameUp(d) && serves >= 0 && d.Revision < all[serves].Revision
	})
	if target < 0 {
		e := status.New(status.NotFound, "revision.unknown", "%s has no earlier revision that came up", a.Name)
		if o.to > 0 {
			e = status.New(status.NotFound, "revision.unknown", "%s has no revision %d that came up", a.Name, o.to)
		}
		return e.WithHint("`publisher history %s` lists them", a.Name)
	}
	view := newAPIView(g.app, a.API)
	defer view.close()
	d, err := a.client.Rollback(ctx, all[target].ID, view.api)
	view.close()
	if addr, addrErr := httpclient.ParseAddress(a.API); addrErr == nil {
		g.remember(ctx, d, addr, a.api)
	}
	switch {
	case err == nil:
		g.printDirect(d, a.API)
		return nil
	case errors.Is(context.Cause(ctx), errTimeUp):
		return status.New(status.DeadlineExceeded, "rollback.timeout", "the rollback of %s was not done after %s; its last step was: %s", a.Name, o.timeout, view.step).
			WithHint("give it longer with --timeout")
	case cli.Interrupted(ctx):
		return cli.ErrInterrupted()
	}
	return err
}

// deleteDirect removes an app. One that is gone there is forgotten here as well.
func (g *globals) deleteDirect(ctx context.Context, a *direct) error {
	err := a.client.DeleteApp(ctx, a.AppID)
	gone := status.CodeOf(err) == status.NotFound
	if err != nil && !gone {
		return err
	}
	st, stateErr := g.state()
	if stateErr == nil {
		stateErr = st.DeleteDirect(ctx, a.API, a.Namespace, a.Name)
	}
	if stateErr != nil {
		return stateErr
	}
	if gone {
		return err // said, so that a typo is noticed
	}
	g.app.Result(struct {
		App       string `json:"app"`
		API       string `json:"api"`
		Namespace string `json:"namespace"`
		Deleted   bool   `json:"deleted"`
	}{a.Name, a.API, a.Namespace, true})
	fmt.Fprintf(g.app.Stderr, "deleted %s\n", a.Name)
	return nil
}
