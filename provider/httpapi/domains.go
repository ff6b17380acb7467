package httpapi

import (
	"net/http"
	"net/url"

	"apocryph/provider/auth"
	"apocryph/provider/deploy"
)

// newDomain is the body of POST /api/v1/apps/{id}/custom-domains.
type newDomain struct {
	Domain string `json:"domain"`
	// Environment is "production" by default.
	Environment string `json:"environment,omitempty"`
	// DeploymentID pins the domain to one deployment.
	DeploymentID string `json:"deployment_id,omitempty"`
}

// customDomain is a domain as it is shown.
type customDomain struct {
	Domain       string `json:"domain"`
	Environment  string `json:"environment"`
	DeploymentID string `json:"deployment_id,omitempty"`
	CreatedAt    string `json:"created_at"`
}

// customDomains is all that an app has: there are few.
type customDomains struct {
	Data []customDomain `json:"data"`
}

func domainView(d deploy.Domain) customDomain {
	return customDomain{d.Domain, d.Environment, d.DeploymentID, d.Created.UTC().Format(timeFormat)}
}

func domainOperations() []operation {
	const at = "/api/v1/apps/{id}/custom-domains"
	return []operation{
		post(at, "addDomain", "apps", "Lead a host name of your own to an app", (*call).addDomain, jsonAnswer(201, "The domain.", customDomain{}, "Location")).
			with(jsonBody(newDomain{})).with(func(o *operation) {
			o.text = "It leads to what runs in the environment, or with deployment_id to that revision alone. The operator says which names may be brought; none is below the " +
				"provider's own domain. The first who holds a name keeps it until it is removed. Where one name is several things, a preview goes before a pinned domain, " +
				"that before one of an environment, and the app's own name comes last."
		}),
		get(at, "listDomains", "apps", "An app's own host names", (*call).listDomains, jsonAnswer(200, "All of them.", customDomains{})),
		{
			method: http.MethodDelete, path: at + "/{domain}", id: "deleteDomain", tag: "apps", summary: "Give a host name up",
			handle: (*call).deleteDomain, answers: []answer{noContent("It is gone.")},
		},
	}
}

func (c *call) addDomain() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	var in newDomain
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := c.api.cfg.Apps.AddDomain(c.ctx(), a.Namespace, a.ID, deploy.Domain{Domain: in.Domain, Environment: in.Environment, DeploymentID: in.DeploymentID})
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/apps/"+a.ID+"/custom-domains/"+url.PathEscape(d.Domain))
	return c.json(http.StatusCreated, domainView(d))
}

func (c *call) listDomains() error {
	a, err := c.theApp(auth.ActionRead)
	if err != nil {
		return err
	}
	out := customDomains{Data: []customDomain{}}
	for _, d := range a.Domains {
		out.Data = append(out.Data, domainView(d))
	}
	return c.json(http.StatusOK, out)
}

func (c *call) deleteDomain() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if err := c.api.cfg.Apps.RemoveDomain(c.ctx(), a.Namespace, a.ID, c.r.PathValue("domain")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
