package inventory

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
)

// Machine is what there is, before anything is kept back.
type Machine struct {
	// CPUMillis are thousandths of a core: the cores that this process may run
	// on, or its cgroup's quota where that is less.
	CPUMillis uint64
	// CPUModel is the kernel's name of the CPU; may be empty.
	CPUModel string
	// MemoryBytes is all memory, or the cgroup's limit where that is less.
	MemoryBytes uint64
	// DiskBytes is what was free on the data dir's file system. What running
	// pods have written already is not in it, although they are charged for it
	// again: after a restart too little may be offered, never too much.
	DiskBytes uint64
	GPUs      []GPU
	// Addresses are the external ones: global unicast, neither private nor
	// of this machine only.
	Addresses []netip.Addr
}

// GPU is one device.
type GPU struct {
	// Vendor is "nvidia", "amd" or "intel".
	Vendor string
	// Model is the driver's name of it; empty when unknown.
	Model string
	// MemoryBytes is 0 when unknown.
	MemoryBytes uint64
}

// InspectConfig is what Inspect needs.
type InspectConfig struct {
	// DataDir is on the file system whose space is offered.
	DataDir string
	// Root is where /proc, /sys and /dev are looked for; empty means "/".
	Root string
}

// Inspect reads the machine. What is optional (GPUs, a CPU model, cgroup
// limits) may be missing; memory and disk may not.
func Inspect(cfg InspectConfig) (Machine, error) {
	root := cfg.Root
	if root == "" {
		root = "/"
	}
	memory, err := memTotal(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return Machine{}, fmt.Errorf("inspecting memory: %w", err)
	}
	disk, err := diskFree(cfg.DataDir)
	if err != nil {
		return Machine{}, fmt.Errorf("inspecting disk: %w", err)
	}
	addrs, err := externalAddrs()
	if err != nil {
		return Machine{}, fmt.Errorf("inspecting addresses: %w", err)
	}
	limits := cgroupLimits(root)
	m := Machine{
		CPUMillis: uint64(runtime.NumCPU()) * 1000, CPUModel: cpuModel(filepath.Join(root, "proc/cpuinfo")),
		MemoryBytes: memory, DiskBytes: disk, GPUs: gpus(root), Addresses: addrs,
	}
	if limits.cpuMillis > 0 {
		m.CPUMillis = min(m.CPUMillis, limits.cpuMillis)
	}
	if limits.memoryBytes > 0 {
		m.MemoryBytes = min(m.MemoryBytes, limits.memoryBytes)
	}
	return m, nil
}

// fields reads "key : value" lines, the first of each key.
func fields(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if key = strings.TrimSpace(key); ok && out[key] == "" {
			out[key] = strings.TrimSpace(value)
		}
	}
	return out, lines.Err()
}

func memTotal(path string) (uint64, error) {
	info, err := fields(path)
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseUint(strings.TrimSuffix(info["MemTotal"], " kB"), 10, 50)
	if err != nil || kib == 0 {
		return 0, status.New(status.Internal, "inventory.memory", "%s names no MemTotal", path)
	}
	return kib << 10, nil
}

// cpuModel is "" where the kernel has no name for it, as on most ARM machines.
func cpuModel(path string) string {
	info, err := fields(path)
	if err != nil {
		return ""
	}
	for _, key := range []string{"model name", "cpu model", "Model", "Hardware"} {
		if info[key] != "" {
			return info[key]
		}
	}
	return ""
}

func diskFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, status.Wrap(err, status.Unavailable, "inventory.disk", "data dir %s can't be looked at", dir)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func externalAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if addr := prefix.Addr().Unmap(); addr.IsGlobalUnicast() && !addr.IsPrivate() {
			out = append(out, addr)
		}
	}
	return out, nil
}
