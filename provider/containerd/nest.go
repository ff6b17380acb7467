package containerd

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// nestedCapabilities are what a builder of images needs beyond capabilities,
// in its own user namespace: mounts and namespaces (SYS_ADMIN), another root
// (SYS_CHROOT), and what package managers expect of the containers in there.
// None of them counts in the namespaces of this machine.
var nestedCapabilities = []string{"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"}

// nest lets a container host others. The seccomp profile, which is made of the
// capabilities, then has mount, unshare, setns and clone with namespaces. What
// hides parts of /proc goes: the kernel lets nobody mount a proc, which an inner
// container needs, while some of an outer one is hidden (mount_too_revealing in
// fs/namespace.c). They are for the host's root to read and write, whom the user
// namespace does not have.
func nest(s *specs.Spec) {
	all := slices.Concat(s.Process.Capabilities.Bounding, nestedCapabilities)
	slices.Sort(all)
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all}
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
}
