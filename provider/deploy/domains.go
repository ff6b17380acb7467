package deploy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxDomains bounds the domains of an app: each may cost a certificate.
const maxDomains = 16

// The reasons of domains that an app cannot have.
const (
	reasonDomainInvalid = "domain.invalid"
	reasonDomainRefused = "domain.refused"
	reasonDomainTaken   = "domain.taken"
)

// Domain is a host name of the caller's own that leads to an app.
type Domain struct {
	// Domain is the host name, in lower case.
	Domain string `json:"domain"`
	// Environment is whose pod it leads to, "production" by default.
	Environment string `json:"environment"`
	// DeploymentID pins it to one deployment's revision; empty is the latest.
	DeploymentID string    `json:"deployment_id,omitempty"`
	Created      time.Time `json:"created_at"`
	// Manifest is what the pinned revision runs. The deployment may be forgotten.
	Manifest string `json:"manifest_digest,omitempty"`
}

// alias is where the domain of an app leads.
func (d Domain) alias(a App) provider.Alias {
	out := provider.Alias{Pod: provider.PodIDOf(tenantOf(a.Namespace), podName(a.Name, d.Environment)), Name: "app " + a.Name}
	if d.DeploymentID == "" {
		return out
	}
	// It was parsed before it was stored.
	out.Manifest, _ = manifest.ParseDigest(d.Manifest)
	out.Name = "this revision of " + a.Name
	return out
}

// claim holds the domains of all apps, at the start of a process.
func (o *Orchestrator) claim() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.apps {
		for _, d := range a.Domains {
			if err := o.cfg.Aliases.ClaimHost(d.Domain, a.ID); err != nil {
				// The operator may have changed what is allowed since; an endpoint's name is its own.
				o.log.Warn("a domain leads nowhere", "app", a.Name, "namespace", a.Namespace, "domain", d.Domain, "err", err)
			}
		}
	}
}

// AddDomain leads a host name of the caller's own to an app.
func (o *Orchestrator) AddDomain(ctx context.Context, namespace, id string, d Domain) (Domain, error) {
	d = Domain{Domain: strings.ToLower(strings.TrimSuffix(d.Domain, ".")), Environment: d.Environment, DeploymentID: d.DeploymentID, Created: o.cfg.Now()}
	app, err := o.App(ctx, namespace, id)
	if err != nil {
		return Domain{}, err
	}
	if err := o.pin(app, &d); err != nil {
		return Domain{}, err
	}
	if err := o.addDomain(ctx, id, d); err != nil {
		return Domain{}, err
	}
	o.refresh()
	return d, nil
}

// pin fills in what a domain leads to.
func (o *Orchestrator) pin(app App, d *Domain) error {
	fault := func(field, got, want string) error {
		return status.Invalid(reasonDomainInvalid, "the domain", []status.Fault{{Field: field, Got: got[:min(len(got), 80)], Want: want}})
	}
	if d.DeploymentID == "" {
		if d.Environment = cmp.Or(d.Environment, production); !label.MatchString(d.Environment) || strings.Contains(d.Environment, "--") {
			return fault("/environment", d.Environment, "a DNS label such as production")
		}
		return nil
	}
	have, err := o.find(app.Namespace, d.DeploymentID)
	if err != nil || have.appID != app.ID {
		return fault("/deployment_id", d.DeploymentID, "a deployment of this app")
	}
	now := have.get()
	if now.Status != Succeeded {
		return fault("/deployment_id", string(now.Status), "a deployment that succeeded")
	}
	if d.Environment != "" && d.Environment != now.Environment {
		return fault("/environment", d.Environment, now.Environment+", the deployment's")
	}
	d.Environment, d.Manifest = now.Environment, now.ManifestDigest
	if _, err := manifest.ParseDigest(d.Manifest); err != nil {
		return err
	}
	return nil
}

// addDomain claims a host name and stores it.
func (o *Orchestrator) addDomain(ctx context.Context, id string, d Domain) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.apps[id]
	switch {
	case o.work == nil:
		return errStopping()
	case have == nil:
		return status.New(status.NotFound, "app.unknown", "there is no app %.80q", id)
	case slices.ContainsFunc(have.Domains, func(old Domain) bool { return old.Domain == d.Domain }):
		return status.New(status.Conflict, reasonDomainTaken, "the app has the domain %s already", d.Domain).WithHint("remove it first, to lead it elsewhere")
	case len(have.Domains) >= maxDomains:
		return status.New(status.ResourceExhausted, "domain.limit", "the app has %d domains, the most it may have", maxDomains)
	}
	if err := o.cfg.Aliases.ClaimHost(d.Domain, id); err != nil {
		return domainError(err)
	}
	next := have.clone()
	next.Domains = append(next.Domains, d)
	next.Version, next.Updated = have.Version+1, o.cfg.Now()
	if err := o.keepApp(ctx, next); err != nil {
		o.cfg.Aliases.ReleaseHost(d.Domain, id)
		return err
	}
	o.apps[id] = &next
	return nil
}

// domainError is the ingress's refusal as one of this API.
func domainError(err error) error {
	var e *status.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	switch e.Code {
	case status.Conflict:
		out.Reason = reasonDomainTaken
	case status.PermissionDenied:
		out.Reason, out.Hint = reasonDomainRefused, "the operator allows host names with provider serve --allow-host"
	default:
		out.Reason = reasonDomainInvalid
	}
	return &out
}

// RemoveDomain gives a host name up.
func (o *Orchestrator) RemoveDomain(ctx context.Context, namespace, id, domain string) error {
	if err := o.removeDomain(ctx, namespace, id, strings.ToLower(domain)); err != nil {
		return err
	}
	o.refresh()
	return nil
}

func (o *Orchestrator) removeDomain(ctx context.Context, namespace, id, domain string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.apps[id]
	if have == nil || namespace != everywhere && have.Namespace != namespace {
		return status.New(status.NotFound, "app.unknown", "there is no app %.80q", id)
	}
	at := slices.IndexFunc(have.Domains, func(d Domain) bool { return d.Domain == domain })
	if at < 0 {
		return status.New(status.NotFound, "domain.unknown", "the app has no domain %.80q", domain)
	}
	next := have.clone()
	next.Domains = slices.Delete(next.Domains, at, at+1)
	next.Version, next.Updated = have.Version+1, o.cfg.Now()
	if err := o.keepApp(ctx, next); err != nil {
		return err
	}
	o.apps[id] = &next
	// It leads nowhere before another app can have it: aliases are set whole.
	o.cfg.Aliases.ReleaseHost(domain, id)
	return nil
}
