package deploy

import (
	"context"

	"apocryph/proto/status"
)

// ran returns a deployment whose revision came up and is known yet. A pod that was
// removed and made again counts from 1: what it has under the number of an earlier
// pod's revision is another image, of another commit.
func (o *Orchestrator) ran(ctx context.Context, namespace, id string) (Deployment, error) {
	d, err := o.find(namespace, id)
	if err != nil {
		return Deployment{}, err
	}
	now := d.get()
	if now.Status != Succeeded {
		return Deployment{}, status.New(status.Conflict, "deployment.not_up", "the deployment is %s, and has no revision to run again", now.Status)
	}
	if now.App == "" {
		return Deployment{}, status.New(status.Conflict, "deployment.not_up", "the deployment is of several apps, and has no revision of its own").
			WithHint("name one of its parts")
	}
	history, err := o.cfg.Pods.History(ctx, tenantOf(now.Namespace), podName(now.App, now.Environment))
	if err != nil && status.CodeOf(err) != status.NotFound {
		return Deployment{}, err
	}
	for _, v := range history {
		if from, ok := deploymentOf(v.Source); ok && v.Revision == now.Revision && from.Deployment == now.ID {
			return now, nil
		}
	}
	return Deployment{}, status.New(status.NotFound, "pod.no_revision", "what deployment %s ran is not here any more", now.ID).
		WithHint("deploy it again")
}
