package containerd

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// maxContainers and maxVolumes bound what one instance can make of mounts,
	// processes and cgroups on the host.
	maxContainers = 16
	maxVolumes    = 64
	// runtimeClass is the one that is here.
	runtimeClass = "runc"
)

// checkSpec refuses what could not be run or would be dangerous to try. The
// manifest was validated long before: this guards against the caller, because
// names become paths.
func checkSpec(s provider.InstanceSpec) error {
	if s.Class != runtimeClass {
		return status.New(status.Unimplemented, "runtime.class", "runtime class %q is not here, only %q", s.Class, runtimeClass).
			WithHint("choose a provider that offers it, or the class %s", runtimeClass)
	}
	var faults []status.Fault
	bad := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	name := func(field, got string) {
		if !safeName.MatchString(got) {
			bad(field, strconv.Quote(got), "letters, digits, - and _, at most 100")
		}
	}
	name("id", string(s.ID))
	name("pod", string(s.Pod))
	name("name", s.Name)
	if s.Publisher == "" {
		bad("publisher", "nothing", "a peer id")
	}
	if n := len(s.Containers); n == 0 || n > maxContainers {
		bad("containers", strconv.Itoa(n), "1 to "+strconv.Itoa(maxContainers))
	}
	if n := len(s.Volumes); n > maxVolumes {
		bad("volumes", strconv.Itoa(n), "at most "+strconv.Itoa(maxVolumes))
	}
	volumes := map[string]bool{}
	for i, v := range s.Volumes {
		at := fmt.Sprintf("volumes[%d].", i)
		name(at+"name", v.Name)
		if volumes[v.Name] {
			bad(at+"name", v.Name, "a name that no other volume has")
		}
		volumes[v.Name] = true
		switch v.Kind {
		case manifest.EmptyDir, manifest.Persistent:
		case manifest.Secret:
			checkSecret(at, s.Secrets[v.Name], bad)
		default:
			bad(at+"kind", strconv.Itoa(int(v.Kind)), "an empty, persistent or secret volume")
		}
	}
	names := map[string]bool{}
	for i, c := range s.Containers {
		at := fmt.Sprintf("containers[%d].", i)
		name(at+"name", c.Name)
		if names[c.Name] {
			bad(at+"name", c.Name, "a name that no other container has")
		}
		names[c.Name] = true
		checkContainer(at, c, volumes, bad)
	}
	if faults != nil {
		return status.Invalid("instance.spec", "the instance", faults)
	}
	return nil
}

func checkContainer(at string, c provider.ContainerSpec, volumes map[string]bool, bad func(field, got, want string)) {
	// A limit of zero would be no limit.
	for _, l := range []struct {
		field    string
		got, max uint64
	}{
		{"cpu", c.Resources.CPUMillis, 1 << 20},
		{"memory", c.Resources.MemoryBytes, 1 << 50},
		{"pids", c.Resources.PIDs, 1 << 22},
	} {
		if l.got == 0 || l.got > l.max {
			bad(at+"resources."+l.field, strconv.FormatUint(l.got, 10), "1 to "+strconv.FormatUint(l.max, 10))
		}
	}
	if len(c.Resources.Extended) > 0 {
		bad(at+"resources."+c.Resources.Extended[0].Name, "a request", "none: this runtime gives out no devices")
	}
	paths := map[string]bool{}
	for i, m := range c.Mounts {
		at := fmt.Sprintf("%smounts[%d].", at, i)
		if !volumes[m.Volume] {
			bad(at+"volume", strconv.Quote(m.Volume), "one of the volumes")
		}
		p := path.Clean(m.Path)
		if !path.IsAbs(p) || p == "/" || strings.ContainsAny(p, ":,\x00") {
			bad(at+"path", strconv.Quote(m.Path), "an absolute path below /")
		}
		if own := manifest.Reserved(p); own != "" {
			bad(at+"path", strconv.Quote(m.Path), "a path outside of "+own)
		}
		if paths[p] {
			bad(at+"path", strconv.Quote(m.Path), "a path that no other mount has")
		}
		paths[p] = true
	}
	for i, b := range c.Binds {
		at := fmt.Sprintf("%sbinds[%d].", at, i)
		if !volumes[b.Volume] {
			bad(at+"volume", strconv.Quote(b.Volume), "one of the volumes")
		}
		if !filepath.IsLocal(b.Dir) || b.Dir != path.Clean(b.Dir) {
			bad(at+"dir", strconv.Quote(b.Dir), "a clean relative path")
		}
		p := path.Clean(b.Path)
		if !path.IsAbs(p) || p == "/" || strings.ContainsAny(p+b.Dir, ":,\x00") || manifest.Reserved(p) != "" || paths[p] {
			bad(at+"path", strconv.Quote(b.Path), "an absolute path below / that is nothing else's")
		}
		paths[p] = true
	}
	for _, v := range c.Env {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
			bad(at+"env", strconv.Quote(v.Name), "a name without = and a value without NUL")
		}
	}
}
