package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

// Builds is the queue of builds; *[builds.Queue] is one.
type Builds interface {
	Submit(ctx context.Context, r builds.Request) (builds.Build, error)
	Build(ctx context.Context, namespace, id string) (builds.Build, error)
	List(ctx context.Context, namespace, appID string, p builds.Page) ([]builds.Build, int, error)
	Cancel(ctx context.Context, namespace, id string) (builds.Build, error)
	Watch(ctx context.Context, namespace, id string, after uint64, fn func(builds.Event) error) error
	Log(ctx context.Context, namespace, id string) ([]byte, uint64, error)
	Provenance(ctx context.Context, namespace, id string) ([]byte, error)
	SBOM(ctx context.Context, namespace, id string) ([]byte, error)
}

// createBuild is POST /api/v1/builds.
//
// The body is multipart/form-data of at most 104857600 bytes, all of it counted.
// Its part "metadata" is a JSON text with the app's id, "project" an archive of the
// source. It answers 202 when both are stored: from then on the build goes on,
// whatever becomes of the caller or of this process. Where the metadata has a
// deployment_id, that deployment waits for a build: it gets this one's log, and is
// carried out or fails with it.
func (c *call) createBuild() error {
	f, err := c.readBuild()
	if err != nil {
		return err
	}
	taken := false
	defer func() {
		if !taken {
			f.close()
		}
	}()
	req, err := c.buildRequest(f)
	if err != nil {
		return err
	}
	if err := c.settle(f.sum); err != nil {
		return err
	}
	c.patient()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), submitTimeout)
	defer cancel()
	submit := func(ctx context.Context) (builds.Build, error) {
		taken = true
		return c.api.cfg.Builds.Submit(ctx, req)
	}
	req.RequestID = c.order()
	var b builds.Build
	if req.DeploymentID != "" {
		b, err = c.api.cfg.Deployments.Attach(ctx, req.Namespace, req.DeploymentID, submit)
	} else {
		b, err = submit(ctx)
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/builds/"+b.ID)
	return c.json(http.StatusAccepted, b)
}

// buildRequest checks the metadata, and that what it names is the caller's.
func (c *call) buildRequest(f *buildForm) (builds.Request, error) {
	var in metadata
	if err := decodeJSON(f.meta, &in); err != nil {
		return builds.Request{}, err
	}
	var faults []status.Fault
	id := func(field, text string, needed bool) string {
		u, err := uuid.Parse(text)
		if err == nil && len(text) == 36 {
			return u.String()
		}
		if text != "" || needed {
			got := brief(text)
			if text == "" {
				got = "nothing"
			}
			faults = append(faults, status.Fault{Field: field, Got: got, Want: "a UUID"})
		}
		return ""
	}
	appID, deploymentID := id("/app_id", in.AppID, true), id("/deployment_id", in.DeploymentID, false)
	if len(faults) > 0 {
		return builds.Request{}, status.Invalid("build.metadata", "the metadata", faults)
	}
	app, err := find(c, auth.ActionDeploy, func(ns string) (deploy.App, error) {
		return c.api.cfg.Apps.App(c.ctx(), ns, appID)
	}, func(a deploy.App) string { return a.Namespace })
	if err != nil {
		return builds.Request{}, err
	}
	if deploymentID != "" {
		d, err := c.api.cfg.Deployments.Deployment(c.ctx(), app.Namespace, deploymentID)
		if err != nil {
			return builds.Request{}, err
		}
		if d.App != app.Name {
			return builds.Request{}, status.Invalid("build.metadata", "the metadata", []status.Fault{{Field: "/deployment_id", Got: "a deployment of another app", Want: "one of " + app.Name}})
		}
	}
	return builds.Request{
		Namespace: app.Namespace, By: c.caller.Subject, AppID: app.ID, DeploymentID: deploymentID, Tree: f.tree, Runtime: in.Runtime, Entry: in.Entry,
		Args: in.Args, Features: in.Features, Port: in.Port, ClaimedCommit: in.CommitSHA,
	}, nil
}

// theBuild is the build of the path, if the caller may do that with it.
func (c *call) theBuild(action auth.Action) (builds.Build, error) {
	id := c.r.PathValue("id")
	return find(c, action, func(ns string) (builds.Build, error) {
		return c.api.cfg.Builds.Build(c.ctx(), ns, id)
	}, func(b builds.Build) string { return b.Namespace })
}

func (c *call) getBuild() error {
	b, err := c.theBuild(auth.ActionRead)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, b)
}

func (c *call) listBuilds() error {
	ns, err := c.listed()
	if err != nil {
		return err
	}
	p, err := c.pageOf(pageSize)
	if err != nil {
		return err
	}
	all, total, err := c.api.cfg.Builds.List(c.ctx(), ns, c.r.URL.Query().Get("app_id"), builds.Page{Number: p.Number, Size: p.Size})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, listOf(all, total, p))
}

func (c *call) cancelBuild() error {
	b, err := c.theBuild(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	c.patient()
	if b, err = c.api.cfg.Builds.Cancel(c.ctx(), b.Namespace, b.ID); err != nil {
		return err
	}
	return c.json(http.StatusOK, b)
}

func (c *call) buildProvenance() error {
	b, err := c.theBuild(auth.ActionRead)
	if err != nil {
		return err
	}
	envelope, err := c.api.cfg.Builds.Provenance(c.ctx(), b.Namespace, b.ID)
	if err != nil {
		return err
	}
	return c.document(mediaDSSE, envelope)
}

func (c *call) buildSBOM() error {
	b, err := c.theBuild(auth.ActionRead)
	if err != nil {
		return err
	}
	bill, err := c.api.cfg.Builds.SBOM(c.ctx(), b.Namespace, b.ID)
	if err != nil {
		return err
	}
	return c.document(mediaJSON, bill)
}

// mediaDSSE is that of an envelope (DSSE 1.0.2, envelope.md).
const mediaDSSE = "application/vnd.dsse.envelope.v1+json"

// document answers with bytes that are signed, or named by their digest.
func (c *call) document(media string, b []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", media)
	h.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b) // the caller may be gone; nobody to tell
	return nil
}

// buildEvents streams what happens to a build until it has ended.
func (c *call) buildEvents() error {
	b, err := c.theBuild(auth.ActionRead)
	if err != nil {
		return err
	}
	after, err := lastEventID(c.r)
	if err != nil {
		return err
	}
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return err
	}
	defer leave()
	media := accepts(c.r.Header, mediaSSE, mediaSSE, mediaNDJSON)
	c.stream(media)
	err = pump(c, heartbeats[media], func(ctx context.Context, fn func(builds.Event) error) error {
		return c.api.cfg.Builds.Watch(ctx, b.Namespace, b.ID, after, fn)
	}, func(e builds.Event) error { return c.writeEvent(media, strconv.FormatUint(e.Seq, 10), e.Kind, e) })
	if err != nil && c.ctx().Err() == nil {
		// Cut off, so that the caller comes back with Last-Event-ID.
		panic(http.ErrAbortHandler)
	}
	return nil
}

var heartbeats = map[string]string{mediaSSE: ": waiting\n\n", mediaNDJSON: "\n"}

// writeEvent writes one event in either form.
func (c *call) writeEvent(media, id, kind string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if media == mediaNDJSON {
		_, err = c.w.Write(append(b, '\n'))
		return err
	}
	_, err = fmt.Fprintf(c.w, "id: %s\nevent: %s\ndata: %s\n\n", id, kind, b)
	return err
}

// buildLine is a line of a build's log.
type buildLine struct {
	Text string `json:"text"`
}

// buildLogs is what a build wrote: all that is kept, and what comes, with follow.
func (c *call) buildLogs() error {
	b, err := c.theBuild(auth.ActionRead)
	if err != nil {
		return err
	}
	follow := c.r.URL.Query().Get("follow")
	switch follow {
	case "", "false", "0", "true", "1":
	default:
		return badQuery("follow", follow, "true or false")
	}
	text, seq, err := c.api.cfg.Builds.Log(c.ctx(), b.Namespace, b.ID)
	if err != nil {
		return err
	}
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return err
	}
	defer leave()
	media := accepts(c.r.Header, mediaText, mediaText, mediaNDJSON, mediaSSE)
	c.stream(media)
	n := uint64(0)
	write := func(line string) error {
		n++
		if media == mediaText {
			_, err := c.w.Write([]byte(line + "\n"))
			return err
		}
		return c.writeEvent(media, strconv.FormatUint(n, 10), "log", buildLine{line})
	}
	for line := range strings.Lines(strings.ToValidUTF8(string(text), "\uFFFD")) {
		if err := write(strings.TrimSuffix(line, "\n")); err != nil {
			return nil // the caller is gone
		}
	}
	c.w.flush()
	if follow != "true" && follow != "1" || b.Status.Ended() {
		return nil
	}
	err = pump(c, heartbeats[media], func(ctx context.Context, fn func(builds.Event) error) error {
		return c.api.cfg.Builds.Watch(ctx, b.Namespace, b.ID, seq, fn)
	}, func(e builds.Event) error {
		if e.Kind != "log" {
			return nil
		}
		return write(e.Text)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		c.api.log.Debug("a build's log ended early", "build", b.ID, "err", err)
	}
	return nil
}
