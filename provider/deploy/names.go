package deploy

import (
	"crypto/rand"
	"slices"
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

// previewURL is where the revision of a deployment is reached.
func (o *Orchestrator) previewURL(d Deployment) string { return o.cfg.Aliases.URL(o.previewHost(d)) }

// serves reports whether a manifest has something to open at a host name.
func serves(m *manifest.Manifest) bool {
	return slices.ContainsFunc(m.Containers, func(c manifest.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p manifest.Port) bool { return p.Protocol == manifest.HTTP })
	})
}

// refresh tells the ingress which names lead where, and the artifacts which of
// them are in use.
func (o *Orchestrator) refresh() {
	o.alias()
	o.hold()
}

// hold keeps the artifacts of what runs: those of the last deployment of each
// app and environment that succeeded.
func (o *Orchestrator) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := map[string]Deployment{}
	for _, d := range o.deployments {
		now := d.get()
		owner := now.Namespace + "/" + podName(now.App, now.Environment)
		if now.Status == Succeeded && now.Revision >= last[owner].Revision {
			last[owner] = now
		}
	}
	for owner, id := range o.held {
		if last[owner].ArtifactID != id {
			o.cfg.Artifacts.Release(id, owner)
			delete(o.held, owner)
		}
	}
	for owner, d := range last {
		if d.ArtifactID == "" || o.held[owner] == d.ArtifactID {
			continue
		}
		// One that was deleted before runs all the same: its image is kept.
		if err := o.cfg.Artifacts.Hold(d.Namespace, d.ArtifactID, owner); err == nil {
			o.held[owner] = d.ArtifactID
		}
	}
}

// alias gives the ingress the names of apps and of their revisions. A revision's
// name leads to it while it runs, and is then said to run no more. Where one name
// is several things it is the first of a revision's, a domain of one deployment, a
// domain of an environment, and an app's: the last are entered first.
func (o *Orchestrator) alias() {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]provider.Alias{}
	for _, a := range o.apps {
		if len(a.Subdomain) <= 63 {
			out[a.Subdomain+"."+o.cfg.Domain] = provider.Alias{Pod: provider.PodIDOf(tenantOf(a.Namespace), a.Name), Name: "app " + a.Name}
		}
	}
	for _, pinned := range []bool{false, true} {
		for _, a := range o.apps {
			for _, d := range a.Domains {
				if (d.DeploymentID != "") == pinned {
					out[d.Domain] = d.alias(*a)
				}
			}
		}
	}
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
	o.cfg.Aliases.SetAliases(out)
}
