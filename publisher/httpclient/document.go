package httpclient

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// Place is where an app goes.
type Place struct {
	// Namespace is the token's own where it is empty; Environment is production.
	Namespace, Environment string
}

// document is the manifest of POST /deploy, see package manifest/direct.
type document struct {
	Name         string            `json:"name"`
	Namespace    string            `json:"namespace,omitempty"`
	Environment  string            `json:"environment,omitempty"`
	Runtime      string            `json:"runtime"`
	Image        string            `json:"image,omitempty"`
	Ports        []port            `json:"ports,omitempty"`
	Env          map[string]string `json:"env,omitempty"`
	Command      []string          `json:"command,omitempty"`
	Args         []string          `json:"args,omitempty"`
	WorkingDir   string            `json:"workingDir,omitempty"`
	Resources    map[string]any    `json:"resources"`
	Health       map[string]any    `json:"health,omitempty"`
	Replicas     map[string]uint32 `json:"replicas"`
	Volumes      []volume          `json:"volumes,omitempty"`
	Access       map[string]bool   `json:"access,omitempty"`
	RuntimeClass string            `json:"runtimeClass"`
}

type port struct {
	Port       uint16 `json:"port,omitempty"`
	TargetPort uint16 `json:"targetPort"`
	Protocol   string `json:"protocol"`
	HostIP     string `json:"hostIP,omitempty"`
	Name       string `json:"name,omitempty"`
	Host       string `json:"host,omitempty"`
}

type volume struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	Type     string `json:"type,omitempty"`
	Size     string `json:"size,omitempty"`
	// Files is of secrets alone.
	Files map[string]secretFile `json:"files,omitempty"`
}

// secretFile is what one file holds; it may be no text.
type secretFile struct {
	Base64 []byte `json:"base64"`
}

// Document says a manifest in the JSON of a direct deploy. Image is a registry
// reference, or empty where the image is among the files; secrets are the files of
// secret volumes, by volume and file name. Every field that cannot be said there
// is in the one error, invalid_argument.
func Document(m *manifest.Manifest, image string, secrets map[string]map[string][]byte, to Place) ([]byte, error) {
	var faults []status.Fault
	if n := len(m.Containers); n != 1 {
		faults = append(faults, status.Fault{Field: "containers", Got: fmt.Sprintf("%d containers", n), Want: "one: the HTTP API takes apps of one container"})
		return nil, unsayable(faults)
	}
	c := &m.Containers[0]
	d := document{
		Name: m.Name, Namespace: to.Namespace, Environment: to.Environment, Runtime: "image", Image: image,
		Env: map[string]string{}, Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir,
		Resources: resources(c.Resources), Health: health(c.Health),
		Replicas: map[string]uint32{"min": m.Replicas.Min, "max": m.Replicas.Max}, RuntimeClass: m.RuntimeClass,
	}
	if m.Access != (manifest.Access{}) {
		d.Access = map[string]bool{"exec": m.Access.Exec, "port-forward": m.Access.PortForward}
	}
	for _, p := range c.Ports {
		d.Ports = append(d.Ports, port{Port: p.Port, TargetPort: p.TargetPort, Protocol: string(p.Protocol), HostIP: p.HostIP, Name: p.Name, Host: p.Host})
	}
	for _, e := range c.Env {
		d.Env[e.Name] = e.Value
	}
	d.Volumes, faults = volumes(m, secrets, faults)
	if len(faults) > 0 {
		return nil, unsayable(faults)
	}
	return json.Marshal(d)
}

func unsayable(faults []status.Fault) error {
	return status.Invalid("manifest.direct", "the manifest, for a deploy with --api", faults)
}

func resources(r manifest.Resources) map[string]any {
	out := map[string]any{
		"cpu": strconv.FormatUint(r.CPUMillis, 10) + "m", "memory": strconv.FormatUint(r.MemoryBytes, 10), "pids": r.PIDs,
	}
	if r.EphemeralBytes > 0 {
		out["ephemeral-storage"] = strconv.FormatUint(r.EphemeralBytes, 10)
	}
	for _, e := range r.Extended {
		out[e.Name] = e.Count
	}
	return out
}

func health(h *manifest.Health) map[string]any {
	if h == nil {
		return nil
	}
	out := map[string]any{"interval": h.Interval.String(), "timeout": h.Timeout.String(), "start": h.Start.String(), "failures": h.Failures}
	switch {
	case h.HTTP != nil:
		out["http"] = map[string]any{"path": h.HTTP.Path, "port": h.HTTP.Port}
	case h.TCP != nil:
		out["tcp"] = h.TCP.Port
	default:
		out["command"] = h.Command
	}
	return out
}

// volumes defines each volume where it is first mounted.
func volumes(m *manifest.Manifest, secrets map[string]map[string][]byte, faults []status.Fault) ([]volume, []status.Fault) {
	var out []volume
	pending := map[string]manifest.Volume{}
	for _, v := range m.Volumes {
		pending[v.Name] = v
	}
	for _, mount := range m.Containers[0].Mounts {
		o := volume{Name: mount.Volume, Path: mount.Path, ReadOnly: mount.ReadOnly}
		if v, first := pending[mount.Volume]; first {
			delete(pending, mount.Volume)
			o.Type = map[manifest.VolumeKind]string{manifest.EmptyDir: "emptyDir", manifest.Persistent: "persistent", manifest.Secret: "secret"}[v.Kind]
			for name, b := range secrets[v.Name] {
				if o.Files == nil {
					o.Files = map[string]secretFile{}
				}
				o.Files[name] = secretFile{append([]byte{}, b...)}
			}
			if v.Bytes > 0 {
				o.Size = strconv.FormatUint(v.Bytes, 10)
			}
		}
		out = append(out, o)
	}
	for i, v := range m.Volumes {
		if _, left := pending[v.Name]; left {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("volumes[%d]", i), Got: "a volume that nothing mounts", Want: "a mount, or no such volume"})
		}
	}
	return out, faults
}

// IsUpload reports whether an image's reference names a file of this machine.
func IsUpload(ref string) bool {
	scheme, _, _ := strings.Cut(ref, ":")
	return scheme == "oci" || scheme == "oci-archive" || scheme == "docker-archive"
}
