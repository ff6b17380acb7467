package containerd

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// nestedCapabilities are what a builder of images needs beyond capabilities:
// mounts and namespaces (SYS_ADMIN), and another root (SYS_CHROOT). They count
// in its own user namespace and those below, and in none of this machine.
var nestedCapabilities = []string{"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"}

// neverNested are system calls that the seccomp profile gives to who has
// SYS_ADMIN, and that no builder needs: each is much of the kernel to attack,
// and some were ways out of user namespaces (fsconfig, CVE-2022-0185).
var neverNested = []string{
	"bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount_setattr", "move_mount",
	"open_tree", "perf_event_open", "quotactl", "quotactl_fd", "syslog",
}

// nest gives a process the capabilities of nestedCapabilities. The seccomp
// profile follows from them. It can undo the masks of /proc then, which are for
// the eyes of the machine's root: its own is somebody else.
func nest(s *specs.Spec) {
	all := slices.Concat(s.Process.Capabilities.Bounding, nestedCapabilities)
	slices.Sort(all)
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all}
}

// narrow takes what is neverNested out of a profile.
func narrow(p *specs.LinuxSeccomp) {
	for i, rule := range p.Syscalls {
		if rule.Action == specs.ActAllow {
			p.Syscalls[i].Names = slices.DeleteFunc(slices.Clone(rule.Names), func(name string) bool { return slices.Contains(neverNested, name) })
		}
	}
	// runc refuses a rule without names.
	p.Syscalls = slices.DeleteFunc(p.Syscalls, func(r specs.LinuxSyscall) bool { return len(r.Names) == 0 })
}
