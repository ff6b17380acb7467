package containerd

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// unified tells whether this machine has the single hierarchy of cgroup v2.
// In v1's "hybrid" mode there is one too, but without controllers.
func unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupMount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroupDirs are the directories of a group in all hierarchies.
func cgroupDirs(group string) []string {
	if unified() {
		return []string{filepath.Join(cgroupMount, group)}
	}
	dirs, err := filepath.Glob(filepath.Join(cgroupMount, "*", group))
	if err != nil {
		return nil
	}
	return dirs
}

// removeCgroup deletes a group and the groups in it, which have no process any
// more. Unknown groups are no error.
func removeCgroup(group string) error {
	var errs error
	for _, dir := range cgroupDirs(group) {
		errs = errors.Join(errs, removeCgroupDir(dir))
	}
	return errs
}

func removeCgroupDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if missing(err) {
			return nil
		}
		return err
	}
	var errs error
	for _, e := range entries {
		if e.IsDir() {
			errs = errors.Join(errs, removeCgroupDir(filepath.Join(dir, e.Name())))
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = errors.Join(errs, &fs.PathError{Op: "rmdir", Path: dir, Err: err})
	}
	return errs
}

// cgroupPIDs are the processes in a group and the groups in it.
func cgroupPIDs(group string) []int {
	var pids []int
	for _, dir := range cgroupDirs(group) {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil //nolint:nilerr // groups vanish while they are walked
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil //nolint:nilerr // the same
			}
			for _, f := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// oomKills is how many processes of a group the memory limit has killed:
// "oom_kill" of memory.events (v2) or memory.oom_control (v1, since Linux 4.13).
// The group stays until its container's task is deleted.
func oomKills(group string) int {
	file := filepath.Join(cgroupMount, "memory", group, "memory.oom_control")
	if unified() {
		file = filepath.Join(cgroupMount, group, "memory.events")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// swapAccounted tells whether the kernel can limit memory and swap together;
// with v1 that is a boot option (swapaccount=1).
func swapAccounted() bool {
	if unified() {
		return true
	}
	_, err := os.Stat(filepath.Join(cgroupMount, "memory", "memory.memsw.limit_in_bytes"))
	return err == nil
}
