package containerd

import (
	"os"
	"path/filepath"
	"strings"
)

// leaveNothing removes the runtime directory of a provider that stopped with no
// instance left. Anything mounted below it is a sign that this is not so.
func (r *Runtime) leaveNothing() {
	if err := UnmountBelow(r.dirs.bound()); err != nil {
		r.log.Warn("unmounting the directory of this boot", "err", err)
		return
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		r.log.Warn("looking for mounts", "err", err)
		return
	}
	for line := range strings.Lines(string(mounts)) {
		// The fifth field is the mount point (proc(5)).
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], r.cfg.RuntimeDir+"/") {
			r.log.Warn("the runtime directory is left, something is mounted in it", "mount", f[4])
			return
		}
	}
	if err := os.RemoveAll(r.cfg.RuntimeDir); err != nil {
		r.log.Warn("removing the runtime directory", "err", err)
		return
	}
	// Goes with the last provider of this machine.
	_ = os.Remove(filepath.Dir(r.cfg.RuntimeDir))
}
