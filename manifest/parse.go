package manifest

import (
	"cmp"
	"fmt"
	"slices"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
)

// reader and node are what every field of the file is read with.
type (
	reader = strictyaml.Doc
	node   = strictyaml.Node
)

// ParseFile reads a manifest as people write it, YAML or JSON, of at most
// [MaxBytes]. Defaults are filled in and short forms written out. The result
// passes [Manifest.Validate]. Every fault of the file is in the one error,
// invalid_argument, manifest.invalid, with lines.
func ParseFile(data []byte) (*Manifest, error) {
	d, root := strictyaml.Parse(data, MaxBytes)
	var f file
	if len(d.Faults()) == 0 || root.IsMap() {
		f.fields = fileTable.Read(d, root, &f)
	}
	m := f.finish(d)
	if root.IsMap() {
		for _, fault := range m.Validate() {
			d.Merge(strictyaml.Fault(fault))
		}
	}
	faults := d.Faults()
	if len(faults) == 0 {
		return m, nil
	}
	out := make([]status.Fault, len(faults))
	for i, fault := range faults {
		out[i] = status.Fault(fault)
	}
	return nil, status.Invalid("manifest.invalid", "the manifest", out)
}

// file is a manifest file that is being read.
type file struct {
	manifest   Manifest
	fields     map[string]node
	containers []container
}

var fileTable = strictyaml.Table[file]{
	Fields: []strictyaml.Field[file]{
		{
			Name: "name", Required: true, Schema: labelSchema(maxName),
			Doc: "Name of the app: a DNS label, unique per publisher.",
			Set: func(d *reader, n node, f *file) { f.manifest.Name, _ = d.String(n) },
		},
		{
			Name: "containers", Required: true, Schema: listSchema("container", MaxContainers),
			Doc: "The containers of the pod. They share localhost.",
			Set: readContainers,
		},
		{
			Name: "replicas", Schema: refSchema("replicas"),
			Doc: "How many copies run.",
			Set: func(d *reader, n node, f *file) { readReplicas(d, n, &f.manifest.Replicas) },
		},
		{
			Name: "access", Schema: refSchema("access"),
			Doc: "What the publisher may do inside the running pod. It is measured, so users can see it.",
			Set: func(d *reader, n node, f *file) { accessTable.Read(d, n, &f.manifest.Access) },
		},
		{
			Name: "runtimeClass", Schema: labelSchema(maxVolumeName),
			Doc: "What isolates the pod. Default runc.",
			Set: func(d *reader, n node, f *file) { f.manifest.RuntimeClass, _ = d.String(n) },
		},
		{
			Name: "volumes", Schema: listSchema("volume", MaxVolumes),
			Doc: "Storage that containers can mount by name.",
			Set: readVolumes,
		},
	},
	Elsewhere: func(name string) string {
		if containerTable.Has(name) {
			return `it under "containers:"`
		}
		return ""
	},
}

var replicasTable = strictyaml.Table[Replicas]{Fields: []strictyaml.Field[Replicas]{
	{
		Name: "min", Schema: uintSchema(1, MaxReplicas), Doc: "Copies that always run. Default 1.",
		Set: func(d *reader, n node, r *Replicas) { r.Min = readUint32(d, n, 1, MaxReplicas) },
	},
	{
		Name: "max", Schema: uintSchema(1, MaxReplicas), Doc: "Must equal min: there is no autoscaling.",
		Set: func(d *reader, n node, r *Replicas) { r.Max = readUint32(d, n, 1, MaxReplicas) },
	},
}}

var accessTable = strictyaml.Table[Access]{Fields: []strictyaml.Field[Access]{
	{
		Name: "exec", Schema: boolSchema(), Doc: "Allow commands to be run in a container. Default false.",
		Set: func(d *reader, n node, a *Access) { a.Exec = d.Bool(n) },
	},
	{
		Name: "port-forward", Schema: boolSchema(), Doc: "Allow ports to be forwarded to the publisher. Default false.",
		Set: func(d *reader, n node, a *Access) { a.PortForward = d.Bool(n) },
	},
}}

func readUint32(d *reader, n node, low, high uint64) uint32 {
	v, _ := d.Uint(n, low, high)
	return uint32(v)
}

func readReplicas(d *reader, n node, r *Replicas) {
	if n.IsMap() {
		replicasTable.Read(d, n, r)
		return
	}
	r.Min = readUint32(d, n, 1, MaxReplicas)
}

func readContainers(d *reader, n node, f *file) {
	for _, e := range d.List(n, MaxContainers) {
		c := container{node: e}
		c.out.Resources = Resources{CPUMillis: DefaultCPUMillis, MemoryBytes: DefaultMemoryBytes, PIDs: DefaultPIDs}
		c.fields = containerTable.Read(d, e, &c)
		f.containers = append(f.containers, c)
	}
}

// finish fills in what depends on more than one field.
func (f *file) finish(d *reader) *Manifest {
	m := &f.manifest
	m.RuntimeClass = cmp.Or(m.RuntimeClass, DefaultRuntimeClass)
	m.Replicas.Min = cmp.Or(m.Replicas.Min, 1)
	m.Replicas.Max = cmp.Or(m.Replicas.Max, m.Replicas.Min)
	for i := range f.containers {
		c := &f.containers[i]
		path := fmt.Sprintf("containers[%d]", i)
		d.Place(path, c.node)
		if _, named := c.fields["name"]; !named && c.fields != nil {
			if len(f.containers) == 1 {
				c.out.Name = m.Name
				d.Place(path+".name", cmp.Or(f.fields["name"], node{Path: "name"}))
			} else {
				d.RefuseField(c.node, "name", "nothing", "a name: there is more than one container")
			}
		}
		c.finish(d, path)
		for _, v := range c.volumes {
			d.Place(fmt.Sprintf("volumes[%d]", len(m.Volumes)), v.node)
			m.Volumes = append(m.Volumes, v.out)
		}
		m.Containers = append(m.Containers, c.out)
	}
	f.finishSecrets(d)
	return m
}

// finishSecrets makes mounts of secrets read-only, unless told not to.
func (f *file) finishSecrets(d *reader) {
	secret := map[string]bool{}
	for _, v := range f.manifest.Volumes {
		secret[v.Name] = v.Kind == Secret
	}
	for i, c := range f.containers {
		for j, m := range c.mounts {
			mount := &f.manifest.Containers[i].Mounts[j]
			if !secret[mount.Volume] {
				continue
			}
			if n, given := m.fields["readOnly"]; given && !mount.ReadOnly {
				d.Refuse(n, "false", "true: secrets are read-only")
			}
			mount.ReadOnly = true
		}
	}
}

// sortByName sorts and keeps double names: they are refused later.
func sortByName[T any](list []T, name func(T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
}
