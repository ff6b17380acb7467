package containerd

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// capabilities are what root of a container may do, inside its own user
// namespace: what package managers and daemons that drop privileges need.
// Against the usual default set there is no MKNOD, NET_RAW (ARP and source
// address forgery), AUDIT_WRITE and SYS_CHROOT.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
}

const (
	// cpuPeriod is the CFS period in microseconds.
	cpuPeriod = 100_000
	// oomScore makes the kernel take a pod before the daemon when the whole
	// machine runs out of memory.
	oomScore = 500
	// maxFiles bounds the open files of one process of a container.
	maxFiles = 65536
	// defaultPath is that of images which set none.
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// place is what all containers of an instance share.
type place struct {
	hostname, cgroup string
	netns, userns    string
	uids             uint32
	// files are bind-mounted read-only, by path in the container.
	files map[string]string
	// volumes are the host's directories, by volume name; readOnly are those
	// that no mount may write.
	volumes  map[string]string
	readOnly map[string]bool
}

func (p place) mapping() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: p.uids, Size: rangeSize}}
}

// newSpec is the OCI runtime configuration of one container.
func newSpec(ctx context.Context, id string, c provider.ContainerSpec, img *image, usr specs.User, p place) (*specs.Spec, error) {
	argv := argvOf(c, img)
	if len(argv) == 0 {
		return nil, status.Invalid("container.command", fmt.Sprintf("container %q", c.Name), []status.Fault{
			{Field: "command", Got: "none, neither in the manifest nor in the image", Want: "what to run"},
		})
	}
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: id})
	if err != nil {
		return nil, fmt.Errorf("making the default specification: %w", err)
	}
	s.Hostname = p.hostname
	proc := s.Process
	proc.Args = argv
	proc.Env = envOf(c, img, p.hostname)
	proc.Cwd = cwdOf(c, img)
	proc.User = usr
	proc.NoNewPrivileges = true
	proc.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Permitted: capabilities, Effective: capabilities}
	score := oomScore
	proc.OOMScoreAdj = &score
	files := maxFilesHere()
	proc.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: files, Soft: files}, {Type: "RLIMIT_CORE"}}

	s.Linux.CgroupsPath = path.Join(p.cgroup, c.Name)
	s.Linux.UIDMappings, s.Linux.GIDMappings = p.mapping(), p.mapping()
	s.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: specs.PIDNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.CgroupNamespace},
		{Type: specs.UserNamespace, Path: p.userns},
		{Type: specs.NetworkNamespace, Path: p.netns},
	}
	s.Linux.Resources = resourcesOf(c, s.Linux.Resources.Devices)
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"},
	})
	// The default /run is a tmpfs over what the image has there; images expect theirs.
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/run" })
	for _, dst := range []string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"} {
		s.Mounts = append(s.Mounts, bind(p.files[dst], dst, true))
	}
	// A mount below another comes after it.
	mounts := slices.Clone(c.Mounts)
	slices.SortFunc(mounts, func(a, b manifest.Mount) int { return strings.Compare(path.Clean(a.Path), path.Clean(b.Path)) })
	for _, m := range mounts {
		s.Mounts = append(s.Mounts, bind(p.volumes[m.Volume], path.Clean(m.Path), m.ReadOnly || p.readOnly[m.Volume]))
	}
	for _, b := range c.Binds {
		s.Mounts = append(s.Mounts, bind(filepath.Join(p.volumes[b.Volume], b.Dir), path.Clean(b.Path), p.readOnly[b.Volume]))
	}
	if c.Nested {
		nest(s)
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s)
	if c.Nested {
		narrow(s.Linux.Seccomp)
	}
	return s, nil
}

func bind(src, dst string, readOnly bool) specs.Mount {
	opts := []string{"bind", "nosuid", "nodev"}
	if readOnly {
		opts = append(opts, "ro")
	}
	return specs.Mount{Destination: dst, Type: "bind", Source: src, Options: opts}
}

// argvOf is the command line as in Kubernetes: command replaces the image's
// entrypoint and drops its command, args replaces its command.
func argvOf(c provider.ContainerSpec, img *image) []string {
	switch {
	case len(c.Command) > 0:
		return slices.Concat(c.Command, c.Args)
	case len(c.Args) > 0:
		return slices.Concat(img.config.Entrypoint, c.Args)
	}
	return slices.Concat(img.config.Entrypoint, img.config.Cmd)
}

// envOf is the image's environment, overridden by the manifest's.
func envOf(c provider.ContainerSpec, img *image, hostname string) []string {
	var env []string
	set := func(kv string) {
		name, _, _ := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, kv)
	}
	set(defaultPath)
	set("HOSTNAME=" + hostname)
	for _, kv := range img.config.Env {
		set(kv)
	}
	for _, v := range c.Env {
		set(v.Name + "=" + v.Value)
	}
	return env
}

func cwdOf(c provider.ContainerSpec, img *image) string {
	dir := c.WorkingDir
	if dir == "" {
		dir = img.config.WorkingDir
	}
	return path.Clean("/" + dir)
}

func resourcesOf(c provider.ContainerSpec, devices []specs.LinuxDeviceCgroup) *specs.LinuxResources {
	memory := int64(c.Resources.MemoryBytes)
	pids := int64(c.Resources.PIDs)
	period := uint64(cpuPeriod)
	// The kernel refuses a quota under 1 ms and shares under 2.
	quota := max(int64(c.Resources.CPUMillis)*cpuPeriod/1000, 1000)
	shares := max(c.Resources.CPUMillis*1024/1000, 2)
	m := &specs.LinuxMemory{Limit: &memory}
	if swapAccounted() {
		// The limit of memory and swap together: none is swapped.
		m.Swap = &memory
	}
	return &specs.LinuxResources{
		Devices: devices,
		Memory:  m,
		CPU:     &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period},
		Pids:    &specs.LinuxPids{Limit: &pids},
	}
}

// maxFilesHere is maxFiles, or less where the daemon itself may not open as
// many: raising a limit needs CAP_SYS_RESOURCE.
func maxFilesHere() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return min(l.Max, maxFiles)
}
