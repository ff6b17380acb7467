package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// oldFormSince is when the JSON form of a deploy was deprecated (RFC 9745: a
// structured date, seconds since 1970). It has no end yet, so there is no Sunset.
const oldFormSince = "@1793491200"

// deploy is POST /deploy, and POST /api/v1/deployments.
//
// The canonical request is multipart/form-data. Its part "manifest" is a JSON
// text with the app's name, runtime, ports, environment and so on, as a value or
// as a file. Its parts "files", any number of them, are what is to run: tar,
// tar.gz, tar.zst or zip, told by content, or single files. Order does not
// matter; another part is refused. Runtimes that are built from files need
// some.
//
// The earlier request, application/json, is the manifest alone. It is wrapped
// into the same form, and marked by the Deprecation header. A JSON object with
// "slugs", a list of repositories, builds and deploys each of them: it answers with
// a stream of what happens to each, and then with all results.
//
// It answers when the app is healthy and the ingress reaches it: 201 with
// Location and the deployment. With "Prefer: respond-async" it answers 202 at
// once; with "Accept: text/event-stream" it streams the deployment's events;
// with dry_run=true it changes nothing and says what would be. What the caller
// can fix is 400, 413 or 415 and names each fault; an app that does not come
// up is 502 with its last lines, and what ran before goes on. A caller who
// leaves does not end a deployment that was received whole.
func (c *call) deploy() error {
	f, err := c.readForm()
	if err != nil {
		return err
	}
	taken := false
	defer func() {
		if !taken {
			f.close()
		}
	}()
	if f.old {
		c.w.Header().Set("Deprecation", oldFormSince)
		c.w.Header().Add("Link", `</docs#old-form>; rel="deprecation"; type="text/html"`)
	}
	dry := c.r.URL.Query().Get("dry_run")
	if dry != "" && dry != "true" && dry != "false" {
		return status.Invalid("api.query", "the query", []status.Fault{{Field: "dry_run", Got: brief(dry), Want: "true or false"}})
	}
	if f.old {
		s, err := c.slugsOf(f.manifest)
		if err != nil {
			return err
		}
		if s != nil {
			c.w.Header().Del("Deprecation")
			c.w.Header().Del("Link")
			if dry == "true" {
				return status.Invalid("deploy.dry_run", "the deployment", []status.Fault{{Field: "dry_run", Got: "deployments that are built from source", Want: "files that need no build, an artifact or an image"}})
			}
			return c.deploySlugs(s, f.sum)
		}
	}
	req, err := c.request(f)
	if err != nil {
		return err
	}
	if err := c.settle(f.sum); err != nil {
		return err
	}
	if req.DryRun = dry == "true"; req.DryRun {
		return c.plan(req)
	}
	taken = true
	return c.submit(req, preferences(c.r.Header), true)
}

// plan answers a dry run.
func (c *call) plan(req deploy.Request) error {
	p, err := c.api.cfg.Deployments.Plan(c.ctx(), req)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, planView(p))
}

// submit hands a deployment over and answers as the caller prefers: waits says
// what is done without a preference.
func (c *call) submit(req deploy.Request, p preference, waits bool) error {
	media := accepts(c.r.Header, mediaJSON, mediaSSE, mediaJSON)
	req.RequestID = c.order()
	d, err := c.hand(req)
	if err != nil {
		return err
	}
	return c.answer(d, p, media, waits)
}

// hand is taken whole or not at all, whether or not the caller is still there.
func (c *call) hand(req deploy.Request) (deploy.Deployment, error) {
	c.patient()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), submitTimeout)
	defer cancel()
	d, err := c.api.cfg.Deployments.Submit(ctx, req)
	if err != nil && req.Tree != nil {
		_ = req.Tree.Close() // what stays behind is swept at the next start
	}
	return d, err
}

// answer renders a deployment that was just made.
func (c *call) answer(d deploy.Deployment, p preference, media string, waits bool) error {
	h := c.w.Header()
	h.Set("Location", "/api/v1/deployments/"+d.ID)
	switch {
	case media == mediaSSE:
		// The repeat of a key streams again: the deployment is the same one.
		if c.attempt != nil {
			c.attempt.settled = false
		}
		return c.follow(d, 0, mediaSSE)
	case p.async:
		h.Set("Preference-Applied", "respond-async")
		return c.json(http.StatusAccepted, view(d))
	case p.waits:
		h.Set("Preference-Applied", "wait")
		if p.wait == 0 && !d.Status.Ended() {
			return c.json(http.StatusAccepted, view(d))
		}
		return c.outcome(d, p.wait)
	case waits:
		return c.outcome(d, 0)
	}
	return c.json(http.StatusCreated, view(d))
}

// outcome waits until the deployment has ended, at most for a time that is not 0:
// then it is 202.
func (c *call) outcome(d deploy.Deployment, most time.Duration) error {
	d, err := c.await(d, most)
	if err != nil {
		return err
	}
	switch {
	case d.Status == deploy.Succeeded:
		return c.json(cmp.Or(c.done, http.StatusCreated), view(d))
	case d.Status.Ended():
		return failure(d)
	}
	return c.json(http.StatusAccepted, view(d))
}

// await returns the deployment when it has ended or the time is over.
func (c *call) await(d deploy.Deployment, most time.Duration) (deploy.Deployment, error) {
	if d.Status.Ended() {
		return d, nil
	}
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return d, err
	}
	defer leave()
	c.patient()
	ctx := c.ctx()
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	err = c.api.cfg.Deployments.Watch(ctx, d.Namespace, d.ID, 0, func(deploy.Event) error { return nil })
	if err != nil && ctx.Err() == nil {
		return d, err
	}
	if err := c.ctx().Err(); err != nil {
		return d, err
	}
	return c.api.cfg.Deployments.Deployment(c.ctx(), d.Namespace, d.ID)
}

// failure is the problem that a deployment without success is for a call that
// waited.
func failure(d deploy.Deployment) error {
	more := map[string]any{"deployment_id": d.ID, "deployment": view(d), "logs_tail": []string{}}
	if d.Status == deploy.Cancelled || d.Failure == nil {
		return &answerError{err: status.New(status.Conflict, "deployment."+string(d.Status), "the deployment was %s", d.Status), code: http.StatusConflict, more: more}
	}
	f := d.Failure
	if len(f.Log) > 0 {
		more["logs_tail"] = f.Log
	}
	e := status.New(f.Class, f.Code, "%s", f.Detail).WithHint("%s", f.Hint)
	e.Log = f.Log
	for _, fault := range f.Faults {
		e.Faults = append(e.Faults, status.Fault{Field: fault.Field, Got: fault.Got, Want: fault.Want})
	}
	return &answerError{err: e, code: statusFor(f.Class, f.Code), more: more}
}
