package attendant

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupMount is where control groups are.
const CgroupMount = "/sys/fs/cgroup"

// Unified tells whether this machine has the single hierarchy of cgroup v2.
// In v1's "hybrid" mode there is one too, but without controllers.
func Unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(CgroupMount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// oomKills is how many processes of a group the memory limit has killed:
// "oom_kill" of memory.events (v2) or memory.oom_control (v1, since Linux 4.13).
// The group stays until its container's task is deleted.
func oomKills(group string) int {
	file := filepath.Join(CgroupMount, "memory", group, "memory.oom_control")
	if Unified() {
		file = filepath.Join(CgroupMount, group, "memory.events")
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
