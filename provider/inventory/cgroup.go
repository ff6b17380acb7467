package inventory

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// limits are what the cgroups of this process allow; 0 means no limit.
type limits struct{ cpuMillis, memoryBytes uint64 }

func (l *limits) cpu(quota, period string) {
	q, errQuota := strconv.ParseUint(quota, 10, 50)
	p, errPeriod := strconv.ParseUint(period, 10, 50)
	if errQuota == nil && errPeriod == nil && p > 0 {
		l.cpuMillis = tighter(l.cpuMillis, max(1, q*1000/p))
	}
}

func (l *limits) memory(bytes string) {
	// Version 1 writes "no limit" as a number near 2^63.
	if n, err := strconv.ParseUint(bytes, 10, 64); err == nil && n < 1<<60 {
		l.memoryBytes = tighter(l.memoryBytes, n)
	}
}

func tighter(a, b uint64) uint64 {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// cgroupLimits follows /proc/self/cgroup (cgroups(7)), version 1 and 2, from
// this process's group up to the root: the tightest limit on the way counts.
// In a container the path may be the host's; then only the root is there.
func cgroupLimits(root string) limits {
	var l limits
	b, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return l
	}
	base := filepath.Join(root, "sys/fs/cgroup")
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		for _, dir := range mounts(base, part[1]) {
			for group := filepath.Clean("/" + part[2]); ; group = filepath.Dir(group) {
				l.read(filepath.Join(dir, group))
				if group == "/" {
					break
				}
			}
		}
	}
	return l
}

// mounts are the places where a hierarchy is usually mounted.
func mounts(base, controllers string) []string {
	if controllers == "" {
		return []string{base, filepath.Join(base, "unified")}
	}
	dirs := []string{filepath.Join(base, controllers)}
	for c := range strings.SplitSeq(controllers, ",") {
		if c != controllers {
			dirs = append(dirs, filepath.Join(base, c))
		}
	}
	return dirs
}

func (l *limits) read(dir string) {
	if quota, period, ok := strings.Cut(line(dir, "cpu.max"), " "); ok {
		l.cpu(quota, period) // "max" is no number
	}
	l.cpu(line(dir, "cpu.cfs_quota_us"), line(dir, "cpu.cfs_period_us")) // -1 is none
	l.memory(line(dir, "memory.max"))
	l.memory(line(dir, "memory.limit_in_bytes"))
}

// line is a file's text, "" where there is none.
func line(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
