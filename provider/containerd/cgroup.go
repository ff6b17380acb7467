package containerd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"apocryph/provider/containerd/attendant"
)

// cgroupDirs are the directories of a group in all hierarchies.
func cgroupDirs(group string) []string {
	if attendant.Unified() {
		return []string{filepath.Join(attendant.CgroupMount, group)}
	}
	dirs, err := filepath.Glob(filepath.Join(attendant.CgroupMount, "*", group))
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

// swapAccounted tells whether the kernel can limit memory and swap together;
// with v1 that is a boot option (swapaccount=1).
func swapAccounted() bool {
	if attendant.Unified() {
		return true
	}
	_, err := os.Stat(filepath.Join(attendant.CgroupMount, "memory", "memory.memsw.limit_in_bytes"))
	return err == nil
}
