package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"apocryph/proto/status"
)

// maxFaults bounds the answer to a manifest of rubbish; see status.FromPeer.
const maxFaults = 64

// Validate returns all that is wrong with what m says, or nothing. It does not
// look at the parts of an image, which differ between a file and the wire.
// Env and extended resources must be sorted by name.
func (m *Manifest) Validate() []status.Fault {
	var v validator
	if !isLabel(m.Name, maxName) {
		v.addf("name", quoted(m.Name), "a DNS label in lower case of at most %d characters", maxName)
	}
	if !isLabel(m.RuntimeClass, maxVolumeName) {
		v.addf("runtimeClass", quoted(m.RuntimeClass), "a DNS label such as runc")
	}
	v.replicas(m.Replicas)
	if n := len(m.Containers); n == 0 || n > MaxContainers {
		v.addf("containers", strconv.Itoa(n), "from 1 to %d containers", MaxContainers)
		return v.faults
	}
	if n := len(m.Volumes); n > MaxVolumes {
		v.addf("volumes", strconv.Itoa(n), "at most %d volumes", MaxVolumes)
		return v.faults
	}
	v.volumes(m.Volumes)
	names := map[string]bool{}
	for i := range m.Containers {
		c := &m.Containers[i]
		at := fmt.Sprintf("containers[%d]", i)
		if !isLabel(c.Name, maxName) {
			v.addf(at+".name", quoted(c.Name), "a DNS label in lower case of at most %d characters", maxName)
		} else if names[c.Name] {
			v.addf(at+".name", quoted(c.Name)+" a second time", "another name")
		}
		names[c.Name] = true
		v.container(at, c)
		v.mounts(at, c.Mounts, m.Volumes)
	}
	v.ports(m.Containers)
	return v.faults
}

// validator collects faults.
type validator struct{ faults []status.Fault }

func (v *validator) addf(field, got, want string, args ...any) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, status.Fault{Field: field, Got: got, Want: fmt.Sprintf(want, args...)})
	}
}

// bound refuses a number that is not from low to high.
func (v *validator) bound(field string, got, low, high uint64, unit string) {
	if got < low || got > high {
		v.addf(field, strconv.FormatUint(got, 10)+unit, "from %d to %d%s", low, high, unit)
	}
}

func quoted(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

func (v *validator) replicas(r Replicas) {
	v.bound("replicas.min", uint64(r.Min), 1, MaxReplicas, "")
	if r.Max != r.Min {
		v.addf("replicas.max", strconv.FormatUint(uint64(r.Max), 10), "%d, as min: there is no autoscaling", r.Min)
	}
}

func (v *validator) volumes(list []Volume) {
	names := map[string]bool{}
	for i, vol := range list {
		at := fmt.Sprintf("volumes[%d]", i)
		switch {
		case !isLabel(vol.Name, maxVolumeName):
			v.addf(at+".name", quoted(vol.Name), "a DNS label in lower case of at most %d characters", maxVolumeName)
		case names[vol.Name]:
			v.addf(at+".name", quoted(vol.Name)+" a second time", "another name")
		}
		names[vol.Name] = true
		switch vol.Kind {
		case EmptyDir, Persistent:
			if vol.Bytes != 0 {
				v.bound(at+".size", vol.Bytes, 1, MaxStorageBytes, " bytes")
			}
		case Secret:
			if vol.Bytes != 0 {
				v.addf(at+".size", "a size", "none: a secret is as large as its files")
			}
		default:
			v.addf(at+".type", strconv.Itoa(int(vol.Kind)), volumeTypes)
		}
		if len(vol.Source) > maxPath || !isText(vol.Source, "") {
			v.addf(at+".source", quoted(vol.Source), "a path of at most %d bytes", maxPath)
		}
	}
}

func (v *validator) mounts(at string, list []Mount, volumes []Volume) {
	if len(list) > MaxVolumes {
		v.addf(at+".volumes", strconv.Itoa(len(list)), "at most %d", MaxVolumes)
		return
	}
	for i, mount := range list {
		field := fmt.Sprintf("%s.mounts[%d]", at, i)
		k := slices.IndexFunc(volumes, func(vol Volume) bool { return vol.Name == mount.Volume })
		switch {
		case k < 0:
			v.addf(field+".volume", quoted(mount.Volume), "the name of a volume of this manifest")
		case volumes[k].Kind == Secret && !mount.ReadOnly:
			v.addf(field+".readOnly", "false", "true: secrets are read-only")
		}
		if !isCleanPath(mount.Path) || mount.Path == "/" {
			v.addf(field+".path", quoted(mount.Path), `an absolute path without "." or "..", below /`)
			continue
		}
		if own := Reserved(mount.Path); own != "" {
			v.addf(field+".path", quoted(mount.Path), "a path outside of %s, which is the runtime's own", own)
		}
		if strings.ContainsAny(mount.Path, ":,") {
			v.addf(field+".path", quoted(mount.Path), `a path without ":" and ",", which mount options are parted by`)
		}
		for _, other := range list[:i] {
			if isCleanPath(other.Path) && (within(mount.Path, other.Path) || within(other.Path, mount.Path)) {
				v.addf(field+".path", quoted(mount.Path), "a path apart from that of another volume, %s", quoted(other.Path))
			}
		}
	}
}
