package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// kept is a deployment as it is stored.
type kept struct {
	Deployment
	RequestID []byte `json:"request_id"`
	// Seq is the number of the last event.
	Seq uint64 `json:"seq"`
	// Order is that of the pod, once it was placed.
	Order []byte `json:"order,omitempty"`
	// Pending is what is to be done after a build, while that is not done.
	Pending *pending `json:"pending,omitempty"`
}

// load reads what was kept and returns what had not ended.
func (o *Orchestrator) load(ctx context.Context) ([]*deployment, error) {
	apps, err := o.cfg.Apps.All(ctx)
	if err != nil {
		return nil, err
	}
	deployments, err := o.cfg.Deployments.All(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, raw := range apps {
		a := &App{}
		if err := json.Unmarshal(raw, a); err != nil {
			return nil, fmt.Errorf("reading app %s: %w", id, err)
		}
		o.apps[a.ID] = a
	}
	var open []*deployment
	for id, raw := range deployments {
		var k kept
		if err := json.Unmarshal(raw, &k); err != nil {
			return nil, fmt.Errorf("reading deployment %s: %w", id, err)
		}
		d := newDeployment(k.Deployment)
		copy(d.request[:], k.RequestID)
		copy(d.order[:], k.Order)
		d.seq, d.pending = k.Seq, k.Pending
		o.deployments[d.now.ID] = d
		if d.request != [16]byte{} {
			o.requests[d.request] = d.now.ID
		}
		if !d.now.Status.Ended() {
			open = append(open, d)
		}
	}
	slices.SortFunc(open, func(a, b *deployment) int { return a.now.Created.Compare(b.now.Created) })
	return open, nil
}

func (o *Orchestrator) keepApp(ctx context.Context, a App) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding app %s: %w", a.ID, err)
	}
	return o.cfg.Apps.Put(ctx, a.ID, raw)
}

// keep stores a deployment. The caller holds d.mu.
func (o *Orchestrator) keep(ctx context.Context, d *deployment, now Deployment, seq uint64) error {
	k := kept{Deployment: now, RequestID: d.request[:], Seq: seq}
	if !now.Status.Ended() {
		k.Pending = d.pending
	}
	if d.order != [16]byte{} {
		k.Order = d.order[:]
	}
	raw, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encoding deployment %s: %w", now.ID, err)
	}
	return o.cfg.Deployments.Put(ctx, now.ID, raw)
}

// of lists the deployments of an app, newest first. The caller holds o.mu.
func (o *Orchestrator) of(appID string) []*deployment {
	var out []*deployment
	for _, d := range o.deployments {
		if d.appID == appID {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *deployment) int {
		if n := b.created.Compare(a.created); n != 0 {
			return n
		}
		return strings.Compare(a.id, b.id)
	})
	return out
}

// trim forgets the oldest deployments of an app that have ended.
func (o *Orchestrator) trim(ctx context.Context, appID string) {
	o.mu.Lock()
	all := o.of(appID)
	o.mu.Unlock()
	for n, d := range all {
		if n < keptDeployments || !d.get().Status.Ended() {
			continue
		}
		if err := o.cfg.Deployments.Delete(ctx, d.id); err != nil {
			o.log.Warn("forgetting a deployment", "deployment", d.id, "err", err)
			continue
		}
		o.mu.Lock()
		delete(o.deployments, d.id)
		delete(o.requests, d.request)
		o.mu.Unlock()
	}
}
