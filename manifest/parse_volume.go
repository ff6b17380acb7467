package manifest

import (
	"cmp"
	"fmt"

	"apocryph/manifest/internal/strictyaml"
)

type placedVolume struct {
	out  Volume
	node node
}

// volumeDraft is a volume, at the top or in place.
type volumeDraft struct {
	Volume
	size bool
}

// mountDraft is a mount, with the volume where it is defined in place.
type mountDraft struct {
	volumeDraft
	path     string
	readOnly bool
	node     node
	fields   map[string]node
}

var volumeKinds = map[string]VolumeKind{
	"emptyDir": EmptyDir, "volume": Persistent, "persistent": Persistent, "secret": Secret,
}

const volumeTypes = "emptyDir, persistent (or volume) or secret"

// volumeFields are the fields of a volume, wherever it is defined.
func volumeFields[T any](of func(*T) *volumeDraft) []strictyaml.Field[T] {
	return []strictyaml.Field[T]{
		{
			Name: "name", Schema: labelSchema(maxVolumeName), Doc: "Name of the volume.",
			Set: func(d *reader, n node, v *T) { of(v).Name, _ = d.String(n) },
		},
		{
			Name: "type", Schema: enumSchema("emptyDir", "volume", "persistent", "secret"),
			Doc: "emptyDir lives as long as the revision, persistent (or volume) until the pod is deleted, secret is files kept in memory.",
			Set: func(d *reader, n node, v *T) {
				s, ok := d.String(n)
				kind := volumeKinds[s]
				if of(v).Kind = kind; ok && kind == 0 {
					d.Refuse(n, n.Shown(), volumeTypes)
				}
			},
		},
		{
			Name: "size", Schema: quantitySchema(), Doc: "Size in bytes, such as 1Gi. Default no limit.",
			Set: func(d *reader, n node, v *T) { of(v).readSize(d, n) },
		},
		{
			Name: "resources", Schema: refSchema("storage"), Doc: "The size, as in Kubernetes.",
			Set: func(d *reader, n node, v *T) { storageTable.Read(d, n, of(v)) },
		},
		{
			Name: "source", Schema: textSchema(), Doc: "File or directory that a secret is read from, relative to this file. It travels sealed.",
			Set: func(d *reader, n node, v *T) { of(v).Source, _ = d.String(n) },
		},
	}
}

var storageTable = strictyaml.Table[volumeDraft]{Fields: []strictyaml.Field[volumeDraft]{{
	Name: "storage", Required: true, Schema: quantitySchema(), Doc: "Size in bytes, such as 1Gi.",
	Set: func(d *reader, n node, v *volumeDraft) { v.readSize(d, n) },
}}}

var volumeTable = strictyaml.Table[volumeDraft]{
	Fields: volumeFields(func(v *volumeDraft) *volumeDraft { return v }),
}

var mountTable = strictyaml.Table[mountDraft]{Fields: append([]strictyaml.Field[mountDraft]{
	{
		Name: "path", Required: true, Schema: pathSchema(), Doc: "Where the volume appears in the container.",
		Set: func(d *reader, n node, m *mountDraft) { m.path, _ = d.String(n) },
	},
	{
		Name: "mountPath", For: "path", Schema: pathSchema(), Doc: "The same as path.",
		Set: func(d *reader, n node, m *mountDraft) { m.path, _ = d.String(n) },
	},
	{
		Name: "readOnly", Schema: boolSchema(), Doc: "Default false; secrets are always read-only.",
		Set: func(d *reader, n node, m *mountDraft) { m.readOnly = d.Bool(n) },
	},
}, volumeFields(func(m *mountDraft) *volumeDraft { return &m.volumeDraft })...)}

func (v *volumeDraft) readSize(d *reader, n node) {
	s, ok := d.Word(n)
	if !ok {
		return
	}
	if v.size {
		d.Refuse(n, "a second size", "size or resources.storage")
		return
	}
	v.size = true
	bytes, err := ParseQuantity(s, 1)
	switch {
	case err != nil:
		refuseQuantity(d, n, err)
	case bytes == 0:
		d.Refuse(n, n.Shown(), "at least one byte; leave it out for no limit")
	}
	v.Bytes = bytes
}

// finish checks what only a file must say. Fields are those that are there.
func (v *volumeDraft) finish(d *reader, n node, fields map[string]node) {
	_, typed := fields["type"]
	source, sourced := fields["source"]
	switch {
	case fields == nil:
	case !typed:
		d.RefuseField(n, "type", "nothing", volumeTypes)
	case v.Kind == Secret && !sourced:
		d.RefuseField(n, "source", "nothing", "the file or directory that the secret is read from")
	case v.Kind == Secret && v.Source == "":
		d.Refuse(source, "nothing", "a file or directory")
	case v.Kind != Secret && v.Kind != 0 && sourced:
		d.Refuse(source, "a source", "none: only secrets have one")
	}
}

func readVolumes(d *reader, n node, f *file) {
	for i, e := range d.List(n, MaxVolumes) {
		var v volumeDraft
		fields := volumeTable.Read(d, e, &v)
		if _, named := fields["name"]; !named && fields != nil {
			d.RefuseField(e, "name", "nothing", "a name")
		}
		v.finish(d, e, fields)
		d.Place(fmt.Sprintf("volumes[%d]", i), e)
		f.manifest.Volumes = append(f.manifest.Volumes, v.Volume)
	}
}

func readMounts(d *reader, n node, c *container) {
	for _, e := range d.List(n, MaxVolumes) {
		m := mountDraft{node: e}
		m.fields = mountTable.Read(d, e, &m)
		c.mounts = append(c.mounts, m)
	}
}

// finishMounts separates the mounts from the volumes that are defined in place.
// One without a name gets the container's and its position; a persistent one
// must be named, or its data would follow the position.
func (c *container) finishMounts(d *reader, path string) {
	for i, m := range c.mounts {
		d.Place(fmt.Sprintf("%s.mounts[%d]", path, i), m.node)
		d.Place(fmt.Sprintf("%s.mounts[%d].volume", path, i), cmp.Or(m.fields["name"], m.node))
		inline := false
		for _, name := range []string{"type", "size", "resources", "source"} {
			_, given := m.fields[name]
			inline = inline || given
		}
		if _, named := m.fields["name"]; !named && m.fields != nil {
			m.Name = fmt.Sprintf("%s-%d", c.out.Name, i)
			if !inline || m.Kind == Persistent {
				d.RefuseField(m.node, "name", "nothing", "the name of a volume")
			}
		}
		if inline {
			m.finish(d, m.node, m.fields)
			c.volumes = append(c.volumes, placedVolume{m.Volume, m.node})
		}
		c.out.Mounts = append(c.out.Mounts, Mount{Volume: m.Name, Path: m.path, ReadOnly: m.readOnly})
	}
}
