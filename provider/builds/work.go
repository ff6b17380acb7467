package builds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"apocryph/proto/status"
)

// errCancelled is why a build ended that its caller cancelled.
func errCancelled() error {
	return status.New(status.Conflict, "build.cancelled", "cancelled")
}

// carryOut is one attempt at a build.
func (q *Queue) carryOut(stop context.Context, j *job) {
	ctx, cancel := context.WithTimeout(stop, buildTime)
	defer cancel()
	j.mu.Lock()
	if j.now.Status.Ended() {
		j.mu.Unlock()
		return
	}
	if j.cancelled {
		cancel()
	}
	j.cancel = cancel
	j.tries++
	j.log = &buildLog{tell: func(line string) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.tell(Event{Kind: "log", At: q.cfg.Now(), Text: line})
	}}
	j.mu.Unlock()
	err := q.attempt(ctx, j)
	if err != nil && stop.Err() == nil {
		fmt.Fprintf(j.log, "the build ends: %s\n", status.Public(err).Detail)
	}
	if err != nil {
		q.endLog(j)
	}
	j.mu.Lock()
	j.cancel, j.log = nil, nil
	cancelled := j.cancelled
	j.mu.Unlock()
	if err == nil {
		q.clean(j)
		q.trim(context.WithoutCancel(stop), j)
		return
	}
	after := context.WithoutCancel(stop)
	switch {
	case cancelled:
		err = errCancelled()
	case stop.Err() != nil:
		q.cfg.Logger.Info("a build begins again at the next start", "build", j.id)
		return
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = status.New(status.DeadlineExceeded, "build.timeout", "the build took longer than %s", buildTime)
	}
	q.discard(after, j)
	if err := q.fail(after, j, err); err != nil {
		q.cfg.Logger.Error("the end of a build is not stored", "build", j.id, "err", err)
		return
	}
	q.clean(j)
	q.trim(after, j)
}

// endLog keeps the log of an attempt, before its end is told of.
func (q *Queue) endLog(j *job) {
	j.log.end()
	err := seal(q.dir(j.id), "log", j.key, j.log.text())
	if err != nil {
		q.cfg.Logger.Warn("a build's log is not kept", "build", j.id, "err", err)
	}
}

// attempt goes through the stages.
func (q *Queue) attempt(ctx context.Context, j *job) (err error) {
	defer func() {
		// Detection and builders read what strangers wrote.
		if v := recover(); v != nil {
			q.cfg.Logger.Error("a build panicked", "build", j.id, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = status.New(status.Internal, "internal", "the build cannot be carried out")
		}
	}()
	if j.tries > 1 {
		fmt.Fprintf(j.log, "the provider stopped while this build ran, and it begins again\n")
		q.discard(ctx, j)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	in, err := q.open(ctx, j)
	if err != nil {
		return err
	}
	defer func() { _ = in.files.Close() }() // read files, and scratch that is swept
	if err := q.stage(ctx, j, stageDetecting); err != nil {
		return err
	}
	plan, err := q.cfg.Detect(in.tree, Hints{Entry: j.asked.Entry, Runtime: j.asked.Runtime})
	if err != nil {
		return err
	}
	for _, why := range plan.Evidence {
		fmt.Fprintf(j.log, "%s\n", why)
	}
	err = q.update(ctx, j, func(b *Build) error {
		b.Runtime, b.Argv, b.Evidence, b.Warnings = string(plan.Runtime), plan.Argv, plan.Evidence, plan.Warnings
		return b.enter(stageCompiling, q.cfg.Now().UTC())
	})
	if err != nil {
		return err
	}
	made, err := q.cfg.Builder.Build(ctx, Job{
		Namespace: j.ns, Source: in.tree, Plan: plan, Args: j.asked.Args, Port: j.asked.Port, Log: j.log,
		Progress: func(percent int) { q.advance(ctx, j, percent) },
	})
	if err != nil {
		return err
	}
	if made.Close != nil {
		defer func() { _ = made.Close() }()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return q.keepMade(ctx, j, in, plan, made)
}

// stage enters one.
func (q *Queue) stage(ctx context.Context, j *job, name string) error {
	return q.update(ctx, j, func(b *Build) error { return b.enter(name, q.cfg.Now().UTC()) })
}

// advance shows how much of the compiling is done, in per cent. That it is not stored
// is no reason to end a build.
func (q *Queue) advance(ctx context.Context, j *job, percent int) {
	from, to := stages[rank(stageCompiling)].progress, stages[rank(stageSealing)].progress
	at := from + (to-from)*min(max(percent, 0), 100)/100
	if at <= j.get().Progress {
		return
	}
	err := q.update(ctx, j, func(b *Build) error {
		b.Progress = max(b.Progress, at)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		q.cfg.Logger.Warn("the progress of a build is not stored", "build", j.id, "err", err)
	}
}

// fail ends a build with an error.
func (q *Queue) fail(ctx context.Context, j *job, err error) error {
	if status.CodeOf(err) == status.Internal && errors.Is(err, syscall.ENOSPC) {
		err = status.Wrap(err, status.ResourceExhausted, "build.disk", "this provider's disk is full").WithHint("try again later, or another provider")
	}
	public := status.Public(err)
	detail := public.Detail
	for n, f := range public.Faults {
		if n == 0 {
			detail += ": "
		} else {
			detail += "; "
		}
		detail += f.String()
	}
	const most = 8 << 10 // an error names what a stranger wrote
	return q.update(ctx, j, func(b *Build) error {
		j.class = public.Code
		return b.fail(public.Reason, detail[:min(len(detail), most)], public.Hint, q.cfg.Now().UTC())
	})
}

// discard gives up what an attempt made: the pins of its image, and its artifact.
func (q *Queue) discard(ctx context.Context, j *job) {
	ctx = context.WithoutCancel(ctx)
	if err := q.cfg.Keeper.Release(ctx, j.owner()); err != nil {
		q.cfg.Logger.Warn("releasing the image of a build", "build", j.id, "err", err)
	}
	j.mu.Lock()
	id, image := j.now.ArtifactID, j.now.ImageID
	j.image = nil
	j.mu.Unlock()
	// A pod may have the same image of an earlier build: then the word for it stays.
	if err := q.unsay(ctx, j); err != nil && status.CodeOf(err) != status.Conflict {
		q.cfg.Logger.Warn("forgetting the provenance of a build", "build", j.id, "err", err)
	}
	if id == "" && image == "" {
		return
	}
	if id != "" {
		q.mu.Lock()
		delete(q.made, id)
		q.mu.Unlock()
		if err := q.cfg.Artifacts.Delete(ctx, j.ns, id); err != nil && status.CodeOf(err) != status.NotFound {
			q.cfg.Logger.Warn("removing the artifact of a build", "build", j.id, "err", err)
		}
	}
	err := q.update(ctx, j, func(b *Build) error {
		b.ArtifactID, b.ImageID, b.Provenance, b.SBOM = "", "", "", ""
		b.Sealed, b.ImageCID, b.ProvenanceCID, b.SBOMCID = "", "", "", ""
		return nil
	})
	if err != nil {
		q.cfg.Logger.Warn("removing the artifact of a build", "build", j.id, "err", err)
	}
}

// clean removes the source of a build that has ended.
func (q *Queue) clean(j *job) {
	if err := os.RemoveAll(filepath.Join(q.dir(j.id), treeName)); err != nil {
		q.cfg.Logger.Warn("removing the source of a build", "build", j.id, "err", err)
	}
}
