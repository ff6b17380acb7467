package httpapi

import (
	"net/http"

	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/deploy"
)

// newApp is the body of POST /api/v1/apps.
type newApp struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	// Source is where the app is built from.
	Source *deploy.AppSource `json:"source,omitempty"`
}

// appChange is the body of PUT /api/v1/apps/{id}: what is absent stays. The
// members that nobody can change may be there, as they are.
type appChange struct {
	Description *string            `json:"description,omitempty"`
	Labels      *map[string]string `json:"labels,omitempty"`
	Env         *map[string]string `json:"env,omitempty"`
	// Source is removed by an empty object.
	Source       *deploy.AppSource `json:"source,omitempty"`
	Name         *string           `json:"name,omitempty"`
	Namespace    *string           `json:"namespace,omitempty"`
	ID           *string           `json:"id,omitempty"`
	Subdomain    *string           `json:"subdomain,omitempty"`
	EnvNames     []string          `json:"env_names,omitempty"`
	Environments []string          `json:"environments,omitempty"`
	CreatedAt    string            `json:"created_at,omitempty"`
	UpdatedAt    string            `json:"updated_at,omitempty"`
	Version      uint64            `json:"version,omitempty"`
}

func (c *call) showApp(code int, a deploy.App) error {
	tag := appTag(a)
	c.w.Header().Set("ETag", tag)
	if code == http.StatusOK && c.r.Method != http.MethodPut && matches(c.r.Header.Values("If-None-Match"), tag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.json(code, appView(a))
}

func (c *call) createApp() error {
	var in newApp
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Name == "" {
		return status.Invalid("app.invalid", "the app", []status.Fault{{Field: "/name", Got: "nothing", Want: "the app's name"}})
	}
	ns, err := c.place(in.Namespace)
	if err != nil {
		return err
	}
	a, err := c.api.cfg.Apps.CreateApp(c.ctx(), deploy.App{Namespace: ns, Name: in.Name, Description: in.Description, Labels: in.Labels, Env: in.Env, Source: in.Source})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/apps/"+a.ID)
	return c.showApp(http.StatusCreated, a)
}

// appSorts are the columns that a list of apps is sorted by.
var appSorts = []string{"created_at", "name", "updated_at"}

func (c *call) listApps() error {
	ns, err := c.listed()
	if err != nil {
		return err
	}
	p, err := c.pageOf(pageSize, appSorts...)
	if err != nil {
		return err
	}
	apps, total, err := c.api.cfg.Apps.ListApps(c.ctx(), ns, p)
	if err != nil {
		return err
	}
	var shown []app
	for _, a := range apps {
		shown = append(shown, appView(a))
	}
	return c.json(http.StatusOK, listOf(shown, total, p))
}

// theApp is the app of the path, if the caller may do that with it.
func (c *call) theApp(action auth.Action) (deploy.App, error) {
	id := c.r.PathValue("id")
	return find(c, action, func(ns string) (deploy.App, error) {
		return c.api.cfg.Apps.App(c.ctx(), ns, id)
	}, func(a deploy.App) string { return a.Namespace })
}

func (c *call) getApp() error {
	a, err := c.theApp(auth.ActionRead)
	if err != nil {
		return err
	}
	return c.showApp(http.StatusOK, a)
}

func (c *call) getAppByName() error {
	ns, name := c.r.PathValue("namespace"), c.r.PathValue("name")
	if c.caller.May(ns, auth.ActionRead) != nil || ns == everywhere {
		return status.New(status.NotFound, "app.unknown", "there is no such app")
	}
	a, err := c.api.cfg.Apps.AppByName(c.ctx(), ns, name)
	if err != nil {
		return err
	}
	return c.showApp(http.StatusOK, a)
}

func (c *call) updateApp() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	var in appChange
	if err := c.decode(&in); err != nil {
		return err
	}
	bound, err := c.unchanged(appTag(a))
	if err != nil {
		return err
	}
	var faults []status.Fault
	fixed := func(field string, got *string, want string) {
		if got != nil && *got != want {
			faults = append(faults, status.Fault{Field: field, Got: brief(*got), Want: "the app's own, " + want + ": it cannot be changed"})
		}
	}
	fixed("/id", in.ID, a.ID)
	fixed("/name", in.Name, a.Name)
	fixed("/namespace", in.Namespace, a.Namespace)
	fixed("/subdomain", in.Subdomain, a.Subdomain)
	if len(faults) > 0 {
		return status.Invalid("app.invalid", "the change", faults)
	}
	version := uint64(0)
	if bound {
		version = a.Version
	}
	a, err = c.api.cfg.Apps.UpdateApp(c.ctx(), a.Namespace, a.ID, version, func(a *deploy.App) error {
		if in.Description != nil {
			a.Description = *in.Description
		}
		if in.Labels != nil {
			a.Labels = *in.Labels
		}
		if in.Env != nil {
			a.Env = *in.Env
		}
		if in.Source != nil {
			a.Source = in.Source
			if *in.Source == (deploy.AppSource{}) {
				a.Source = nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.showApp(http.StatusOK, a)
}

func (c *call) deleteApp() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if _, err := c.unchanged(appTag(a)); err != nil {
		return err
	}
	if err := c.api.cfg.Apps.DeleteApp(c.ctx(), a.Namespace, a.ID); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
