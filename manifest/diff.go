package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ChangeKind is what became of a field.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one field in which two manifests differ.
type Change struct {
	// Field is the field's path as in a manifest file, such as
	// "containers[web].env.TOKEN" or "replicas.min".
	Field string
	Kind  ChangeKind
	// Old and New are the values as a file has them, in at most 128 bytes. Both are
	// empty for environment variables and secrets, whose values nobody is shown.
	Old, New string
}

// maxShown bounds a value in a [Change], in bytes: an argument may have kilobytes.
const maxShown = 128

// Diff lists in what new differs from old. A nil manifest has no field at all,
// so that everything is added or removed. Images differ where their
// configuration does: a new key makes other ciphertext of the same image. Fields
// of new come first, in the order of a file, then those that only old has.
func Diff(old, new *Manifest) []Change { return differences(fieldsOf(old), fieldsOf(new)) }

// DiffSecrets lists in which files the secrets of two revisions differ, by
// volume and file name. Fields are such as "volumes[tls].files[key.pem]".
func DiffSecrets(old, new map[string]map[string][]byte) []Change {
	return differences(secretFields(old), secretFields(new))
}

// field is one value of a manifest. Hidden ones are compared and never shown.
type field struct {
	path, value string
	hidden      bool
}

func differences(old, new []field) []Change {
	before := map[string]field{}
	for _, f := range old {
		before[f.path] = f
	}
	var out []Change
	for _, f := range new {
		was, known := before[f.path]
		delete(before, f.path)
		switch {
		case !known:
			out = append(out, f.change(Added, "", f.value))
		case was.value != f.value:
			out = append(out, f.change(Changed, was.value, f.value))
		}
	}
	for _, f := range old {
		if _, left := before[f.path]; left {
			out = append(out, f.change(Removed, f.value, ""))
		}
	}
	return out
}

func (f field) change(kind ChangeKind, old, new string) Change {
	if f.hidden {
		return Change{Field: f.path, Kind: kind}
	}
	return Change{Field: f.path, Kind: kind, Old: shown(old), New: shown(new)}
}

// shown cuts a value between characters.
func shown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	const dots = "…"
	return strings.ToValidUTF8(s[:maxShown-len(dots)], "") + dots
}

// flat collects the fields of a manifest that are set.
type flat struct {
	fields []field
	seen   map[string]int
}

// put adds a field. Where a path is there already, the next one has a number.
func (f *flat) put(path, value string) {
	if value == "" {
		return
	}
	f.seen[path]++
	if n := f.seen[path]; n > 1 {
		path += "#" + strconv.Itoa(n)
	}
	f.fields = append(f.fields, field{path: path, value: value})
}

func fieldsOf(m *Manifest) []field {
	if m == nil {
		return nil
	}
	f := &flat{seen: map[string]int{}}
	f.put("name", m.Name)
	for i := range m.Containers {
		f.container(&m.Containers[i])
	}
	f.put("replicas.min", fmt.Sprint(m.Replicas.Min))
	f.put("replicas.max", fmt.Sprint(m.Replicas.Max))
	f.put("access.exec", strconv.FormatBool(m.Access.Exec))
	f.put("access.port-forward", strconv.FormatBool(m.Access.PortForward))
	f.put("runtimeClass", m.RuntimeClass)
	for _, v := range m.Volumes {
		at := "volumes[" + v.Name + "]"
		f.put(at+".type", map[VolumeKind]string{EmptyDir: "emptyDir", Persistent: "persistent", Secret: "secret"}[v.Kind])
		f.put(at+".size", size(v.Bytes))
	}
	return f.fields
}

func (f *flat) container(c *Container) {
	at := "containers[" + c.Name + "]"
	f.put(at+".image", cmp.Or(c.Image.ImageID, c.Image.Ref))
	f.put(at+".command", words(c.Command))
	f.put(at+".args", words(c.Args))
	f.put(at+".workingDir", c.WorkingDir)
	for _, e := range c.Env {
		f.fields = append(f.fields, field{at + ".env." + e.Name, e.Value, true})
	}
	for _, p := range c.Ports {
		id := fmt.Sprintf("%s.ports[%s]", at, cmp.Or(p.Name, fmt.Sprintf("%d/%s", p.TargetPort, p.Protocol)))
		text := fmt.Sprintf("%d/%s", p.TargetPort, p.Protocol)
		if p.Port != 0 {
			text = fmt.Sprintf("%d:%s", p.Port, text)
		}
		for _, extra := range []struct{ name, value string }{{"host", p.Host}, {"hostIP", p.HostIP}} {
			if extra.value != "" {
				text += " " + extra.name + " " + extra.value
			}
		}
		f.put(id, text)
	}
	f.resources(at+".resources", &c.Resources)
	if h := c.Health; h != nil {
		f.health(at+".health", h)
	}
	for _, m := range c.Mounts {
		text := m.Volume
		if m.ReadOnly {
			text += " read-only"
		}
		f.put(at+".volumes["+m.Path+"]", text)
	}
}

func (f *flat) resources(at string, r *Resources) {
	f.put(at+".cpu", fmt.Sprintf("%dm", r.CPUMillis))
	f.put(at+".memory", size(r.MemoryBytes))
	f.put(at+".ephemeral-storage", size(r.EphemeralBytes))
	if r.PIDs > 0 {
		f.put(at+".pids", fmt.Sprint(r.PIDs))
	}
	for _, e := range r.Extended {
		f.put(at+"."+e.Name, fmt.Sprint(e.Count))
	}
}

func (f *flat) health(at string, h *Health) {
	switch {
	case h.HTTP != nil:
		f.put(at+".http", fmt.Sprintf("%d%s", h.HTTP.Port, h.HTTP.Path))
	case h.TCP != nil:
		f.put(at+".tcp", fmt.Sprint(h.TCP.Port))
	default:
		f.put(at+".command", words(h.Command))
	}
	f.put(at+".interval", h.Interval.String())
	f.put(at+".timeout", h.Timeout.String())
	f.put(at+".start", h.Start.String())
	f.put(at+".failures", fmt.Sprint(h.Failures))
}

// size writes bytes with the largest binary suffix that leaves none out.
func size(n uint64) string {
	if n == 0 {
		return ""
	}
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"Ti", 40}, {"Gi", 30}, {"Mi", 20}, {"Ki", 10}} {
		if n>>unit.shift<<unit.shift == n {
			return strconv.FormatUint(n>>unit.shift, 10) + unit.name
		}
	}
	return strconv.FormatUint(n, 10)
}

// words writes a list so that two lists never look the same.
func words(list []string) string {
	if len(list) == 0 {
		return ""
	}
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func secretFields(s map[string]map[string][]byte) []field {
	var out []field
	for _, volume := range slices.Sorted(maps.Keys(s)) {
		for _, name := range slices.Sorted(maps.Keys(s[volume])) {
			out = append(out, field{"volumes[" + volume + "].files[" + name + "]", string(s[volume][name]), true})
		}
	}
	return out
}
