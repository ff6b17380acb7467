package httpapi

import (
	"net/http"

	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/deploy"
)

// theDeployment is the deployment of the path, if the caller may do that with it.
func (c *call) theDeployment(action auth.Action) (deploy.Deployment, error) {
	id := c.r.PathValue("id")
	return find(c, action, func(ns string) (deploy.Deployment, error) {
		return c.api.cfg.Deployments.Deployment(c.ctx(), ns, id)
	}, func(d deploy.Deployment) string { return d.Namespace })
}

func (c *call) listDeployments() error {
	a, err := c.theApp(auth.ActionRead)
	if err != nil {
		return err
	}
	p, err := c.pageOf(pageSize, "created_at")
	if err != nil {
		return err
	}
	all, total, err := c.api.cfg.Deployments.ListDeployments(c.ctx(), a.Namespace, a.ID, p)
	if err != nil {
		return err
	}
	var shown []deploy.Deployment
	for _, d := range all {
		shown = append(shown, view(d))
	}
	return c.json(http.StatusOK, listOf(shown, total, p))
}

func (c *call) getDeployment() error {
	d, err := c.theDeployment(auth.ActionRead)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, view(d))
}

// createDeployment deploys an artifact or an image to an app. It answers at
// once with the deployment as it is, or when it has ended with "Prefer: wait=N".
func (c *call) createDeployment() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	b, err := c.body(false, maxManifest)
	if err != nil {
		return err
	}
	req, err := c.appRequest(a, b)
	if err != nil {
		return err
	}
	return c.submit(req, preferences(c.r.Header), false)
}

// promotion is the body of POST …/promote.
type promotion struct {
	// Environment is "production" by default.
	Environment string `json:"environment,omitempty"`
}

func (c *call) promote() error {
	d, err := c.theDeployment(auth.ActionDeploy)
	if err != nil {
		return err
	}
	in := promotion{}
	b, err := c.body(true, maxJSON)
	if err == nil && b != nil {
		err = decodeJSON(b, &in)
	}
	if err != nil {
		return err
	}
	if in.Environment == "" {
		in.Environment = "production"
	}
	d, err = c.api.cfg.Deployments.Promote(c.ctx(), d.Namespace, d.ID, in.Environment, c.caller.Subject)
	if err != nil {
		return err
	}
	return c.answer(d, preferences(c.r.Header), accepts(c.r.Header, mediaJSON, mediaSSE, mediaJSON), false)
}

func (c *call) rollback() error {
	d, err := c.theDeployment(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	d, err = c.api.cfg.Deployments.Rollback(c.ctx(), d.Namespace, d.ID, c.caller.Subject)
	if err != nil {
		return err
	}
	return c.answer(d, preferences(c.r.Header), accepts(c.r.Header, mediaJSON, mediaSSE, mediaJSON), false)
}

func (c *call) cancel() error {
	d, err := c.theDeployment(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	d, err = c.api.cfg.Deployments.Cancel(c.ctx(), d.Namespace, d.ID)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, view(d))
}

// nothing reads a body that has nothing to say: none, or an empty object.
func (c *call) nothing() error {
	b, err := c.body(true, maxJSON)
	if err != nil || b == nil {
		return err
	}
	return decodeJSON(b, &struct{}{})
}

func (c *call) events() error {
	d, err := c.theDeployment(auth.ActionRead)
	if err != nil {
		return err
	}
	after, err := lastEventID(c.r)
	if err != nil {
		return err
	}
	return c.follow(d, after, accepts(c.r.Header, mediaSSE, mediaSSE, mediaNDJSON))
}

// wait answers when the deployment has ended or the time is over, 200 in either
// case: the deployment says which.
func (c *call) wait() error {
	d, err := c.theDeployment(auth.ActionRead)
	if err != nil {
		return err
	}
	most, err := seconds(c.r.URL.Query().Get("timeout"), "timeout", defaultWait, maxWait)
	if err != nil {
		return err
	}
	if most > 0 {
		if d, err = c.await(d, most); err != nil {
			return err
		}
	}
	return c.json(http.StatusOK, view(d))
}

// badQuery is one fault of a query.
func badQuery(field, got, want string) error {
	return status.Invalid("api.query", "the query", []status.Fault{{Field: field, Got: brief(got), Want: want}})
}
