package buildpod

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// fullBelow is how many free bytes make a volume full: what is written last
// may have been too large for what was left.
const fullBelow = 4 << 20

// verdict is nil when a job ended well, or says why it did not.
func (p *Pods) verdict(ctx context.Context, j *job, e end) error {
	var err *status.Error
	code := e.state.ExitCode
	switch {
	case e.late:
		err = status.New(status.InvalidArgument, "build.time", "the build was stopped after %s, which is its limit", j.limits.Time).
			WithHint("make it do less, or upload what it makes")
	case e.big:
		err = p.noRoom(j)
	case code == 0:
		return nil
	case e.state.OOMKilled:
		err = status.New(status.InvalidArgument, "build.memory", "the build needed more than its %d MiB of memory", j.limits.MemoryBytes>>20).
			WithHint("let it run fewer things at a time, or upload what it makes")
	case p.full(ctx, j):
		err = p.noRoom(j)
	default:
		err = status.New(status.InvalidArgument, "build.command", "the build ended with status %d%s", code, signalOf(code)).
			WithHint("its last lines say why")
	}
	err.Log = e.last
	return err
}

func (p *Pods) noRoom(j *job) *status.Error {
	return status.New(status.ResourceExhausted, "build.disk", "the build filled its %d MiB of disk", j.limits.DiskBytes>>20).
		WithHint("let it write less, or upload what it makes")
}

// signalOf tells a status that shells give to signals.
func signalOf(code int) string {
	if code <= 128 || code > 128+64 {
		return ""
	}
	if name := unix.SignalName(unix.Signal(code - 128)); name != "" {
		return fmt.Sprintf(" (%s)", name)
	}
	return ""
}

// full reports whether the volume of a job has no room. Where volumes have no
// size of their own it is that of the disk below.
func (p *Pods) full(ctx context.Context, j *job) bool {
	dir, err := p.dir(ctx, j)
	if err != nil {
		return false
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return false
	}
	return st.Bavail*uint64(st.Bsize) < fullBelow || st.Files > 0 && st.Ffree == 0
}
