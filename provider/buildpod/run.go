package buildpod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

const (
	// cleanTime bounds the removal of a job.
	cleanTime = time.Minute
	// startTime bounds the start of a command.
	startTime = 2 * time.Minute
	// lookAgain is how often the runtime is asked for the end of a job, in case
	// it went unreported.
	lookAgain = 250 * time.Millisecond
	// measureEvery is how often the root file system of a job is walked.
	measureEvery = time.Second
)

// Run runs a job; see [build.Runner]. Refusals of the job itself are
// invalid_argument "build.job". That a base cannot be had, that there is no room
// and that the runtime fails are the errors of those.
func (p *Pods) Run(ctx context.Context, bj build.Job) (err error) {
	j, err := p.newJob(bj)
	if err != nil {
		return err
	}
	started := p.cfg.Now()
	b, err := p.base(ctx, j.Image)
	if err != nil {
		return fmt.Errorf("bringing the base image: %w", err)
	}
	defer p.doneWith(b)
	if err := p.takeCaches(ctx, j); err != nil {
		return err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		err = errors.Join(err, p.clean(cctx, j))
	}()
	if err := p.make(ctx, j, b); err != nil {
		return fmt.Errorf("making the build pod: %w", err)
	}
	p.log.Debug("build pod made", "namespace", j.Namespace, "job", j.Name, "instance", j.id, "took", p.cfg.Now().Sub(started))
	end, err := p.execute(ctx, j)
	if err != nil {
		return err
	}
	if err := p.verdict(ctx, j, end); err != nil {
		return err
	}
	if j.Output == "" {
		return nil
	}
	dir, err := p.dir(ctx, j)
	if err != nil {
		return err
	}
	if err := copyOut(ctx, dir, j.Output, j.limits.DiskBytes); err != nil {
		return fmt.Errorf("taking the output: %w", err)
	}
	return p.cfg.step("copied")
}

// make creates the instance and fills its volume.
func (p *Pods) make(ctx context.Context, j *job, b *base) error {
	img, err := p.cfg.Images.Fetch(ctx, b.owner, provider.ImageRequest{Image: b.image}, func(provider.Progress) {})
	if err != nil {
		return fmt.Errorf("opening the base image: %w", err)
	}
	if img.Close != nil {
		defer img.Close()
	}
	p.keepWarm(ctx, j, b, img)
	spec := j.spec(b, img)
	if _, err := p.cfg.Runtime.Create(ctx, spec, nil); err != nil {
		return err
	}
	if err := p.cfg.step("created"); err != nil {
		return err
	}
	dir, err := p.dir(ctx, j)
	if err != nil {
		return err
	}
	if err := copyIn(ctx, j.Source, dir); err != nil {
		return fmt.Errorf("copying the source: %w", err)
	}
	return p.cfg.step("filled")
}

// dir is where the volume of a job is.
func (p *Pods) dir(ctx context.Context, j *job) (string, error) {
	dir, err := p.cfg.Disks.Open(ctx, diskOf(j.pod, j.scratch), j.limits.DiskBytes)
	if err != nil {
		return "", fmt.Errorf("opening the volume of the job: %w", err)
	}
	return dir, nil
}

// end is how a job ended.
type end struct {
	state provider.ContainerState
	// late is set where its time was over, big where its root file system was
	// larger than its disk.
	late, big bool
	last      []string
}

// execute starts a job and waits for its end.
func (p *Pods) execute(ctx context.Context, j *job) (end, error) {
	log := p.capture(ctx, j)
	defer log.stop()
	if err := p.start(ctx, j); err != nil {
		return end{}, fmt.Errorf("starting the command: %w", err)
	}
	timed, cancel := context.WithTimeout(ctx, j.limits.Time)
	defer cancel()
	if err := p.cfg.step("started"); err != nil {
		return end{}, err
	}
	st, err := p.wait(timed, j)
	if ctx.Err() != nil {
		return end{}, ctx.Err()
	}
	late := err != nil && timed.Err() != nil
	big := errors.Is(err, errBig)
	if err != nil && !late && !big {
		return end{}, fmt.Errorf("waiting for the command: %w", err)
	}
	log.settle(ctx, p.cfg.quiet)
	return end{state: st, late: late, big: big, last: log.last()}, p.cfg.step("ended")
}

// start starts a job. Its time is the command's: a machine too busy to start it is
// given startTime of its own.
func (p *Pods) start(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return startError(p.cfg.Runtime.Start(ctx, j.id))
}

// startError says of a command that cannot be started that it is the job's.
func startError(err error) error {
	if status.ReasonOf(err) == "container.start" {
		return status.Wrap(err, status.InvalidArgument, "build.command", "the command of the build is not in its image, or cannot run")
	}
	return err
}

// errBig is the end of a wait for a job that has written too much.
var errBig = errors.New("the root file system is too large")

// wait returns when a job's process has ended, or has written too much.
func (p *Pods) wait(ctx context.Context, j *job) (provider.ContainerState, error) {
	id := j.id
	wctx, cancel := context.WithCancel(ctx)
	exited := make(chan struct{}, 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = p.cfg.Runtime.Watch(wctx, func(e provider.Exit) {
			if e.Instance == id {
				select {
				case exited <- struct{}{}:
				default:
				}
			}
		})
	}()
	defer func() { cancel(); <-watched }()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	measure := time.NewTicker(measureEvery)
	defer measure.Stop()
	for {
		st, err := p.state(ctx, id)
		// A runtime that is too busy to say does not end a job.
		slow := status.CodeOf(err) == status.DeadlineExceeded && ctx.Err() == nil
		if !slow && (err != nil || !st.Running) {
			return st, err
		}
		select {
		case <-exited:
		case <-tick.C:
		case <-measure.C:
			if p.tooBig(ctx, j) {
				return st, errBig
			}
		case <-ctx.Done():
			return provider.ContainerState{}, ctx.Err()
		}
	}
}

// tooBig reports whether a job has written more beside its volume than its disk holds.
func (p *Pods) tooBig(ctx context.Context, j *job) bool {
	if p.cfg.Roots == nil {
		return false
	}
	n, err := p.cfg.Roots.RootBytes(ctx, j.id)
	// A walk loses against files that go meanwhile: the next one may win.
	return err == nil && n > j.limits.DiskBytes
}

func (p *Pods) state(ctx context.Context, id provider.InstanceID) (provider.ContainerState, error) {
	all, err := p.cfg.Runtime.List(ctx)
	if err != nil {
		return provider.ContainerState{}, err
	}
	for _, in := range all {
		if in.ID == id && len(in.Containers) == 1 {
			return in.Containers[0], nil
		}
	}
	return provider.ContainerState{}, status.New(status.Unavailable, "build.vanished", "the build pod is gone").
		WithHint("build again")
}

// clean removes all of a job but its caches.
func (p *Pods) clean(ctx context.Context, j *job) error {
	err := p.cfg.Runtime.Remove(ctx, j.id, 0)
	if err == nil {
		err = p.cfg.step("removed")
	}
	// A volume that is in use is not removed; Sweep finds it.
	if err == nil {
		err = p.cfg.Disks.Remove(ctx, diskOf(j.pod, j.scratch))
	}
	err = errors.Join(err, p.giveCaches(ctx, j))
	if err != nil {
		return fmt.Errorf("removing the build pod: %w", err)
	}
	return nil
}

// imageID is what a base is known by.
func imageID(img *oci.Image) string { return img.ID() }
