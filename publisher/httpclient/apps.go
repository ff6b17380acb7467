package httpclient

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"apocryph/proto/status"
)

// App is what the API says of an app.
type App struct {
	ID           string   `json:"id"`
	Namespace    string   `json:"namespace"`
	Name         string   `json:"name"`
	Environments []string `json:"environments"`
}

// maxListed is how many deployments of an app are asked for: a page at its largest.
const maxListed = 100

// AppByName returns the app of a name in a namespace: not_found where there is
// none, or none that the token may see.
func (c *Client) AppByName(ctx context.Context, namespace, name string) (*App, error) {
	var a App
	err := c.get(ctx, "/api/v1/apps/"+url.PathEscape(namespace)+"/"+url.PathEscape(name), &a)
	if err == nil && !idPattern.MatchString(a.ID) {
		err = status.New(status.Unavailable, "api.answer", "%s tells of an app without a name", c.name)
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// DeleteApp removes an app with all its environments, their pods and volumes.
func (c *Client) DeleteApp(ctx context.Context, id string) error {
	path, err := appPath(id)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodDelete, path, nil, nil)
	if err != nil {
		return err
	}
	defer drain(resp)
	return c.refusal(resp)
}

// Deployments returns the last hundred deployments of an app, newest first.
func (c *Client) Deployments(ctx context.Context, app string) ([]Deployment, error) {
	path, err := appPath(app)
	if err != nil {
		return nil, err
	}
	var page struct {
		Data []Deployment `json:"data"`
	}
	if err := c.get(ctx, fmt.Sprintf("%s/deployments?page_size=%d", path, maxListed), &page); err != nil {
		return nil, err
	}
	for _, d := range page.Data {
		if !idPattern.MatchString(d.ID) {
			return nil, status.New(status.Unavailable, "api.answer", "%s tells of a deployment without a name", c.name)
		}
	}
	return page.Data, nil
}

// Rollback brings back what a deployment ran, and returns when the app answers;
// events and errors are as in [Client.Deploy].
func (c *Client) Rollback(ctx context.Context, deployment string, report func(Event)) (*Deployment, error) {
	path, err := deploymentPath(deployment)
	if err != nil {
		return nil, err
	}
	return c.submit(ctx, report, func(key string) (*http.Response, func() error, error) {
		resp, err := c.do(ctx, http.MethodPost, path+"/rollback", http.Header{"Accept": {wantEvents}, "Idempotency-Key": {key}}, nil)
		return resp, func() error { return nil }, err
	})
}

// appPath and deploymentPath refuse what is no id: it was read from a file, or an
// answer.
func appPath(id string) (string, error) { return idPath("apps", id) }

func deploymentPath(id string) (string, error) { return idPath("deployments", id) }

func idPath(kind, id string) (string, error) {
	if !idPattern.MatchString(id) {
		return "", status.New(status.InvalidArgument, "api.id", "the id is %.80q, want letters, digits and hyphens", id)
	}
	return "/api/v1/" + kind + "/" + id, nil
}

// get reads one JSON answer.
func (c *Client) get(ctx context.Context, path string, v any) error {
	resp, err := c.do(ctx, http.MethodGet, path, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return err
	}
	defer drain(resp)
	if err := c.refusal(resp); err != nil {
		return err
	}
	return c.decode(resp, v)
}
