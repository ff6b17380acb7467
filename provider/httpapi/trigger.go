package httpapi

import (
	"encoding/json"
	"net/url"
	"strings"

	"apocryph/manifest/direct"
	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/builds"
)

// trigger is the body of POST …/deploy/trigger.
type trigger struct {
	// Ref is a branch, a tag or a commit; the source's own by default.
	Ref string `json:"ref,omitempty"`
	// Environment is "development" by default.
	Environment string `json:"environment,omitempty"`
}

// deployTrigger builds and deploys an app from where its source is, in one call.
func (c *call) deployTrigger() error {
	a, err := c.theApp(auth.ActionDeploy)
	if err != nil {
		return err
	}
	in := trigger{}
	b, err := c.body(true, maxJSON)
	if err == nil && b != nil {
		err = decodeJSON(b, &in)
	}
	if err != nil {
		return err
	}
	from, err := c.api.cfg.Deployments.Origin(c.ctx(), a.Namespace, a.ID)
	if err != nil {
		return err
	}
	source, err := from.Git(in.Ref)
	if err != nil {
		return err
	}
	if in.Environment == "" {
		in.Environment = direct.Development
	}
	m, err := sourceManifest(a.Namespace, a.Name, in.Environment, from.Runtime)
	if err != nil {
		return err
	}
	req := c.asked(m)
	req.Git, req.Entry = source, from.Entry
	return c.submit(req, preferences(c.r.Header), false)
}

// sourceManifest is the manifest of an app of which nothing is known but its source.
func sourceManifest(namespace, name, environment, runtime string) (*direct.Manifest, error) {
	fields := map[string]string{"name": name, "environment": environment}
	if runtime != "" {
		fields["runtime"] = runtime
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return direct.Parse(b, direct.Defaults{Namespace: namespace})
}

// gitSource reads the source of a manifest: a slug, or the URL of a repository, as
// the older form had it.
func gitSource(m *direct.Manifest) (*builds.GitSource, error) {
	text := m.Source
	if u, err := url.Parse(text); err == nil && u.Scheme == "https" && u.User == nil && u.RawQuery == "" {
		path := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
		if text = "git+https://" + u.Host + "/" + strings.Trim(u.Path, "/"); u.Host == "github.com" {
			text = "gh:" + path
		}
		if u.Fragment != "" {
			text += "#" + u.Fragment
		}
	}
	s, err := slug.Parse(text)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "slug.invalid", "source: it names no repository").
			WithHint("write gh:owner/repo, or https://github.com/owner/repo")
	}
	if m.Ref != "" {
		if err := slug.CheckRef(m.Ref); err != nil {
			return nil, err
		}
		s.Ref = m.Ref
	}
	return &builds.GitSource{Want: git.Want{Slug: s}}, nil
}
