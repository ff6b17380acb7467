package containerd

import (
	"context"
	"fmt"

	"apocryph/provider"
)

// RootBytes walks the writable layers of an instance; see [provider.Roots].
func (r *Runtime) RootBytes(ctx context.Context, id provider.InstanceID) (uint64, error) {
	rec, err := r.get(id)
	if err != nil {
		return 0, err
	}
	ctx, cl, err := r.use(ctx, rec.namespace())
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, c := range rec.Containers {
		u, err := cl.SnapshotService(snapshotter).Usage(ctx, c.ID)
		if err != nil {
			return 0, fmt.Errorf("measuring the root file system of container %q: %w", c.Name, err)
		}
		sum += uint64(max(u.Size, 0))
	}
	return sum, nil
}
