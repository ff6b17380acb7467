package builds

import (
	"fmt"
	"slices"
	"time"
)

// The stages, in order.
const (
	stageQueued    = "queued"
	stageFetching  = "fetching"
	stageDetecting = "detecting"
	stageCompiling = "compiling"
	stageSealing   = "sealing"
	stageDone      = "done"
)

var stages = []struct {
	name     string
	progress int
}{{stageQueued, 0}, {stageFetching, 5}, {stageDetecting, 20}, {stageCompiling, 30}, {stageSealing, 80}, {stageDone, 100}}

func rank(stage string) int {
	return slices.IndexFunc(stages, func(s struct {
		name     string
		progress int
	},
	) bool {
		return s.name == stage
	})
}

// Ended reports whether nothing more will happen.
func (s Status) Ended() bool { return s == Succeeded || s == Failed }

// enter moves a build to a later stage. An earlier one, or any after the end, is an
// error: a fault of this program.
func (b *Build) enter(stage string, at time.Time) error {
	to := rank(stage)
	if b.Status.Ended() || to <= rank(b.Stage) || to < 0 {
		return fmt.Errorf("build %s: from %s (%s) to %q", b.ID, b.Stage, b.Status, stage)
	}
	if b.Status == Pending {
		b.Status = Running
	}
	if b.Started == nil {
		b.Started = &at
	}
	// A second attempt goes through stages whose progress was shown already.
	b.Stage, b.Progress = stage, max(b.Progress, stages[to].progress)
	if stage == stageDone {
		b.Status, b.Finished = Succeeded, &at
	}
	return nil
}

// again puts a build that ran back into the queue. Its progress stays.
func (b *Build) again() error {
	if b.Status != Running {
		return fmt.Errorf("build %s: queued again while it is %s", b.ID, b.Status)
	}
	b.Status, b.Stage = Pending, stageQueued
	return nil
}

// fail ends a build without success. The stage stays: that is where it failed.
func (b *Build) fail(code, detail, hint string, at time.Time) error {
	if b.Status.Ended() {
		return fmt.Errorf("build %s: failed after it has %s", b.ID, b.Status)
	}
	b.Status, b.Code, b.Error, b.Hint, b.Finished = Failed, code, detail, hint, &at
	return nil
}
