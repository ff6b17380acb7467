package runtimetest

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider"
)

var safeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,98}[A-Za-z0-9])?$`)

// checkSpec refuses what a real runtime refuses.
func checkSpec(s provider.InstanceSpec) error {
	if s.Class != "runc" {
		return status.New(status.Unimplemented, "runtime.class", "runtime class %q is not here, only \"runc\"", s.Class)
	}
	var faults []status.Fault
	bad := func(ok bool, field, got string) {
		if !ok {
			faults = append(faults, status.Fault{Field: field, Got: strconv.Quote(got)})
		}
	}
	bad(safeName.MatchString(string(s.ID)), "id", string(s.ID))
	bad(safeName.MatchString(string(s.Pod)), "pod", string(s.Pod))
	bad(safeName.MatchString(s.Name), "name", s.Name)
	bad(s.Publisher != "", "publisher", "")
	bad(len(s.Containers) > 0, "containers", "none")
	var volumes, names []string
	for _, v := range s.Volumes {
		bad(safeName.MatchString(v.Name) && !slices.Contains(volumes, v.Name), "volumes.name", v.Name)
		volumes = append(volumes, v.Name)
		for name := range s.Secrets[v.Name] {
			bad(!strings.Contains(name, "/") && name != ".." && name != "." && name != "", "secrets", name)
		}
	}
	for _, c := range s.Containers {
		bad(safeName.MatchString(c.Name) && !slices.Contains(names, c.Name), "containers.name", c.Name)
		names = append(names, c.Name)
		bad(c.Resources.CPUMillis > 0 && c.Resources.MemoryBytes > 0 && c.Resources.PIDs > 0, "resources", "0")
		bad(len(c.Resources.Extended) == 0, "resources.extended", "a request")
		for _, m := range c.Mounts {
			ok := strings.HasPrefix(m.Path, "/") && m.Path != "/" && !strings.Contains(m.Path, "..")
			for _, r := range []string{"/proc", "/sys", "/dev", "/etc/hosts"} {
				ok = ok && m.Path != r && !strings.HasPrefix(m.Path, r+"/")
			}
			bad(ok && slices.Contains(volumes, m.Volume), "mounts", m.Path)
		}
	}
	for _, c := range s.Containers {
		for _, b := range c.Binds {
			bad(slices.Contains(volumes, b.Volume), "binds.volume", b.Volume)
			bad(filepath.IsLocal(b.Dir) && filepath.Clean(b.Dir) == b.Dir, "binds.dir", b.Dir)
			bad(strings.HasPrefix(b.Path, "/") && b.Path != "/" && !strings.HasPrefix(b.Path, "/proc"), "binds.path", b.Path)
		}
	}
	if faults != nil {
		return status.Invalid("instance.spec", "the instance", faults)
	}
	return nil
}
