package builds

import (
	"cmp"
	"context"
	"os"
	"slices"

	"apocryph/proto/status"
)

// Page selects a part of a list.
type Page struct {
	// Number counts from 1; Size 0 is everything.
	Number, Size int
}

// Build returns a build. Unknown and foreign are one answer, not_found
// "build.unknown"; "*" is the operator's view of all namespaces.
func (q *Queue) Build(_ context.Context, namespace, id string) (Build, error) {
	j, err := q.find(namespace, id)
	if err != nil {
		return Build{}, err
	}
	return j.get(), nil
}

// List returns a page of the builds of a namespace, or of one of its apps, newest
// first, and how many there are in all.
func (q *Queue) List(_ context.Context, namespace, appID string, p Page) ([]Build, int, error) {
	all := q.sorted(func(j *job) bool {
		return (namespace == everywhere || j.ns == namespace) && (appID == "" || j.scope == appID)
	})
	total := len(all)
	if p.Size > 0 {
		from := min((max(p.Number, 1)-1)*p.Size, total)
		all = all[from:min(from+p.Size, total)]
	}
	out := make([]Build, 0, len(all))
	for _, j := range all {
		out = append(out, j.get())
	}
	return out, total, nil
}

// ForDeployment returns the newest build that is for a deployment.
func (q *Queue) ForDeployment(_ context.Context, namespace, deployment string) (Build, bool, error) {
	for _, j := range q.sorted(func(j *job) bool { return j.ns == namespace }) {
		if b := j.get(); b.DeploymentID == deployment {
			return b, true, nil
		}
	}
	return Build{}, false, nil
}

// sorted are the builds that match, newest first.
func (q *Queue) sorted(match func(*job) bool) []*job {
	q.mu.Lock()
	var all []*job
	for _, j := range q.jobs {
		if match(j) {
			all = append(all, j)
		}
	}
	q.mu.Unlock()
	slices.SortFunc(all, func(a, b *job) int { return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id, b.id)) })
	return all
}

// Cancel ends a build: it has failed, with the error "cancelled". One that has ended
// is a conflict "build.ended".
func (q *Queue) Cancel(ctx context.Context, namespace, id string) (Build, error) {
	j, err := q.find(namespace, id)
	if err != nil {
		return Build{}, err
	}
	j.mu.Lock()
	ended := j.now.Status
	if !ended.Ended() {
		j.cancelled = true
		if j.cancel != nil {
			j.cancel()
		}
	}
	j.mu.Unlock()
	if ended.Ended() {
		return Build{}, status.New(status.Conflict, "build.ended", "the build has %s", ended)
	}
	q.mu.Lock()
	waited := q.leave(j)
	q.mu.Unlock()
	if waited {
		if err := q.fail(context.WithoutCancel(ctx), j, errCancelled()); err != nil {
			q.enqueue(j)
			return Build{}, err
		}
		q.clean(j)
		return j.get(), nil
	}
	err = q.Watch(ctx, namespace, id, 0, func(Event) error { return nil })
	return j.get(), err
}

// Failure is why a build has failed; nil where it has not.
func (q *Queue) Failure(_ context.Context, namespace, id string) error {
	j, err := q.find(namespace, id)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.now.Status != Failed {
		return nil
	}
	return status.New(j.class, j.now.Code, "%s", j.now.Error).WithHint("%s", j.now.Hint)
}

// Log returns what a build wrote, the middle left out where it is long, and the
// number of the event that it goes up to: [Queue.Watch] goes on from there.
func (q *Queue) Log(_ context.Context, namespace, id string) ([]byte, uint64, error) {
	j, err := q.find(namespace, id)
	if err != nil {
		return nil, 0, err
	}
	j.mu.Lock()
	log, seq := j.log, j.seq
	j.mu.Unlock()
	if log == nil {
		text, err := unseal(q.dir(id), "log", j.key)
		return text, seq, err
	}
	// No line is told of meanwhile.
	log.mu.Lock()
	defer log.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return log.told(), j.seq, nil
}

// Provenance returns the statement of a build in a DSSE envelope, signed with the key
// of this start; one that has none is not_found "build.no_provenance".
func (q *Queue) Provenance(_ context.Context, namespace, id string) ([]byte, error) {
	j, err := q.find(namespace, id)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	image := j.image
	j.mu.Unlock()
	if image == nil || image.Provenance == nil || q.cfg.Attestor == nil {
		return nil, status.New(status.NotFound, "build.no_provenance", "build %s has no provenance", id).WithHint("only a build that succeeded has one")
	}
	return q.cfg.Attestor.SignBuilt(image.Provenance)
}

// SBOM returns the bill of materials of a build; one that has none is not_found
// "build.no_sbom".
func (q *Queue) SBOM(_ context.Context, namespace, id string) ([]byte, error) {
	j, err := q.find(namespace, id)
	if err != nil {
		return nil, err
	}
	if j.get().SBOM == "" {
		return nil, status.New(status.NotFound, "build.no_sbom", "build %s has no bill of materials", id)
	}
	return unseal(q.dir(id), "sbom", j.key)
}

// Image returns the sealed image that a build made as an artifact. False is an
// artifact that was not built here.
func (q *Queue) Image(_ context.Context, namespace, artifact string) (Image, bool, error) {
	q.mu.Lock()
	j := q.jobs[q.made[artifact]]
	q.mu.Unlock()
	if j == nil || namespace != everywhere && j.ns != namespace {
		return Image{}, false, nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.image == nil || j.image.Key == nil {
		return Image{}, false, nil
	}
	return *j.image, true, nil
}

// sweep gives up the images whose artifacts were deleted, and events that are old.
func (q *Queue) sweep(ctx context.Context) error {
	for _, j := range q.sorted(func(*job) bool { return true }) {
		j.mu.Lock()
		if j.now.Finished != nil && q.cfg.Now().Sub(*j.now.Finished) > sweepEvery {
			// Who watched has seen the end; who comes now reads the log.
			j.events = nil
		}
		id, has := j.now.ArtifactID, j.image != nil && j.image.Key != nil
		j.mu.Unlock()
		if !has || !j.get().Status.Ended() {
			continue
		}
		there, err := q.cfg.Exists(ctx, j.ns, id)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		// Where a pod runs the image, what is said of it stays until the build is forgotten.
		if err := q.unsay(ctx, j); err != nil && status.CodeOf(err) != status.Conflict {
			return err
		}
		if err := q.cfg.Keeper.Release(ctx, j.owner()); err != nil {
			return err
		}
		j.mu.Lock()
		// The statement stays: what was built was built.
		j.image = &Image{Build: j.id, Provenance: j.image.Provenance}
		err = q.put(ctx, j, j.now, j.seq)
		j.mu.Unlock()
		if err != nil {
			return err
		}
		q.mu.Lock()
		delete(q.made, id)
		q.mu.Unlock()
	}
	return nil
}

// trim forgets the oldest builds that have ended of the app, and of the namespace, of
// one. A build whose artifact is in use stays.
func (q *Queue) trim(ctx context.Context, of *job) {
	q.cut(ctx, keptOf(of.scope), func(j *job) bool { return j.scope == of.scope })
	q.cut(ctx, keptPerNamespace, func(j *job) bool { return j.ns == of.ns })
}

// cut forgets what has ended of those that match, but for the newest.
func (q *Queue) cut(ctx context.Context, kept int, match func(*job) bool) {
	for n, j := range q.sorted(match) {
		now := j.get()
		if n < kept || !now.Status.Ended() {
			continue
		}
		if err := q.forget(ctx, j, now); err != nil {
			q.cfg.Logger.Debug("forgetting a build", "build", j.id, "err", err)
		}
	}
}

func (q *Queue) forget(ctx context.Context, j *job, now Build) error {
	if now.ArtifactID != "" {
		if err := q.cfg.Artifacts.Delete(ctx, j.ns, now.ArtifactID); err != nil && status.CodeOf(err) != status.NotFound {
			return err
		}
	}
	if err := q.unsay(ctx, j); err != nil {
		return err
	}
	if err := q.cfg.Keeper.Release(ctx, j.owner()); err != nil {
		return err
	}
	if err := q.cfg.Documents.Delete(ctx, j.id); err != nil {
		return err
	}
	q.mu.Lock()
	delete(q.jobs, j.id)
	delete(q.requests, j.request)
	delete(q.made, now.ArtifactID)
	q.mu.Unlock()
	return os.RemoveAll(q.dir(j.id))
}
