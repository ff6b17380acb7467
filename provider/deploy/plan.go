package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Plan says what a request would change, and changes nothing. It builds the image
// as the deployment would, so that what cannot be built is told, and asks the core
// for the rest.
func (o *Orchestrator) Plan(ctx context.Context, r Request) (Plan, error) {
	if r.Tree != nil {
		defer func() { _ = r.Tree.Close() }() // what it leaves is swept
	}
	if err := r.check(); err != nil {
		return Plan{}, err
	}
	if r.built() {
		return Plan{}, status.Invalid("deploy.dry_run", "the deployment", []status.Fault{{Field: "dry_run", Got: "a deployment that is built from source", Want: "files that need no build, an artifact or an image"}}).
			WithHint("submit a build, and ask with its artifact_id")
	}
	app, err := o.AppByName(ctx, r.Namespace, r.App)
	if err != nil && status.CodeOf(err) != status.NotFound {
		return Plan{}, err
	}
	d := newDeployment(Deployment{Namespace: r.Namespace, App: r.App, Environment: r.Environment})
	built, done, err := o.built(ctx, d, r)
	if err != nil {
		return Plan{}, err
	}
	defer done()
	m := *r.Manifest
	m.Containers = []manifest.Container{r.Manifest.Containers[0]}
	m.Name = podName(r.App, r.Environment)
	environmentOf(app, &m)
	sum := sha256.Sum256(built.image.Config)
	if m.Containers[0].Image, err = manifest.ByID("sha256:" + hex.EncodeToString(sum[:])); err != nil {
		return Plan{}, err
	}
	raw, err := manifest.Marshal(&m)
	if err != nil {
		return Plan{}, err
	}
	order := provider.Direct{Tenant: tenantOf(r.Namespace), Manifest: raw, Secrets: r.Secrets, Expected: r.Expected, DryRun: true}
	if err := newOrder(&order.RequestID); err != nil {
		return Plan{}, err
	}
	got, err := o.cfg.Orders.Deploy(ctx, order, func(provider.Progress) {})
	if err != nil {
		return Plan{}, fmt.Errorf("asking what would change: %w", err)
	}
	plan := Plan{
		App: r.App, Environment: r.Environment, Operation: "create", Changes: []Change{},
		Warnings: slices.Concat([]string{}, r.Warnings, built.warnings), Entry: Entry{Reason: built.evidence},
	}
	if got.Dry == nil {
		return plan, nil
	}
	if got.Dry.Replaces > 0 {
		plan.Operation = "update"
		if len(got.Dry.Changes) == 0 {
			plan.Operation = "noop"
		}
	}
	for _, c := range got.Dry.Changes {
		plan.Changes = append(plan.Changes, Change{Field: c.Field, Kind: string(c.Kind), Old: c.Old, New: c.New})
	}
	if got.Dry.Offer.Asset != "" {
		plan.Asset, plan.PerHour = got.Dry.Offer.Asset, got.Dry.Offer.TotalPerHour
	}
	return plan, nil
}
