package deploy

import (
	"crypto/rand"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"apocryph/manifest"
	"apocryph/provider"
)

func newID() string { return uuid.NewString() }

// newOrder fills in the id of a pod's order.
func newOrder(id *[16]byte) error {
	_, err := rand.Read(id[:])
	return err
}

// previewHost is the host name that leads to one deployment's revision alone, empty where it
// would be too long: the app's subdomain and eight digits of the deployment's id.
func (o *Orchestrator) previewHost(d Deployment) string {
	name := subdomain(d.App, d.Namespace) + "-" + d.ID[:8]
	if len(name) > 63 {
		name = "preview-" + strings.ReplaceAll(d.ID, "-", "")
	}
	return name + "." + o.cfg.Domain
}

// previewURL is where the revision of a deployment is reached, empty where it has
// no HTTP endpoint.
func (o *Orchestrator) previewURL(d Deployment, endpoints []provider.Endpoint) string {
	for _, e := range endpoints {
		if e.Protocol != manifest.HTTP {
			continue
		}
		u, err := url.Parse(e.URL)
		if err != nil {
			return ""
		}
		host := o.previewHost(d)
		if port := u.Port(); port != "" {
			host += ":" + port
		}
		return u.Scheme + "://" + host + "/"
	}
	return ""
}

// alias gives the ingress the names of apps and of their revisions. A revision's
// name leads to it while it runs, and is then said to run no more.
func (o *Orchestrator) alias() {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]provider.Alias{}
	for _, d := range o.deployments {
		now := d.get()
		if now.Status != Succeeded || now.PreviewURL == "" {
			continue
		}
		digest, err := manifest.ParseDigest(now.ManifestDigest)
		if err != nil {
			continue
		}
		out[o.previewHost(now)] = provider.Alias{Pod: provider.PodID(now.PodID), Manifest: digest, Name: "this revision of " + now.App}
	}
	for _, a := range o.apps {
		if len(a.Subdomain) <= 63 {
			out[a.Subdomain+"."+o.cfg.Domain] = provider.Alias{Pod: provider.PodIDOf(tenantOf(a.Namespace), a.Name), Name: "app " + a.Name}
		}
	}
	o.cfg.Aliases.SetAliases(out)
}
