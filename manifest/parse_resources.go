package manifest

import (
	"errors"
	"strings"

	"apocryph/manifest/internal/strictyaml"
	"apocryph/proto/status"
)

// resourcesDraft also remembers which were given, directly or as limits.
type resourcesDraft struct {
	*Resources
	given map[string]bool
}

var resourcesTable = strictyaml.Table[resourcesDraft]{
	Fields: append([]strictyaml.Field[resourcesDraft]{{
		Name: "limits", Schema: refSchema("limits"), Doc: "The same resources, as in Kubernetes.",
		Set: func(d *reader, n node, r *resourcesDraft) { limitsTable.Read(d, n, r) },
	}}, limitsTable.Fields...),
	Other: readExtended,
}

var limitsTable = strictyaml.Table[resourcesDraft]{
	Fields: []strictyaml.Field[resourcesDraft]{
		{
			Name: "cpu", Schema: quantitySchema(), Doc: "CPU time in cores: 0.5, 2 or 250m. Default 500m.",
			Set: func(d *reader, n node, r *resourcesDraft) { r.quantity(d, "cpu", n, 1000, &r.CPUMillis) },
		},
		{
			Name: "memory", Schema: quantitySchema(), Doc: "Memory in bytes: 64Mi or 1G. Default 256Mi.",
			Set: func(d *reader, n node, r *resourcesDraft) { r.quantity(d, "memory", n, 1, &r.MemoryBytes) },
		},
		{
			Name: "ephemeral-storage", Schema: quantitySchema(), Doc: "Writable file system in bytes: 1Gi. Default no request.",
			Set: func(d *reader, n node, r *resourcesDraft) {
				r.quantity(d, "ephemeral-storage", n, 1, &r.EphemeralBytes)
			},
		},
		{
			Name: "pids", Schema: uintSchema(1, MaxPIDs), Doc: "Processes and threads. Default 512.",
			Set: func(d *reader, n node, r *resourcesDraft) {
				if v, ok := d.Uint(n, 1, MaxPIDs); ok && r.first(d, "pids", n) {
					r.PIDs = v
				}
			},
		},
	},
	Other: readExtended,
}

func readResources(d *reader, n node, r *Resources) {
	resourcesTable.Read(d, n, &resourcesDraft{Resources: r, given: map[string]bool{}})
}

func (r *resourcesDraft) first(d *reader, name string, n node) bool {
	if r.given[name] {
		d.Refuse(n, name+" as well", "it once, under resources or under limits")
		return false
	}
	r.given[name] = true
	return true
}

func (r *resourcesDraft) quantity(d *reader, name string, n node, scale uint64, dst *uint64) {
	s, ok := d.Word(n)
	if !ok || !r.first(d, name, n) {
		return
	}
	v, err := ParseQuantity(s, scale)
	if err == nil && scale == 1 && strings.HasSuffix(s, "m") {
		d.Refuse(n, n.Shown()+", thousandths of a byte", "Mi or M for millions")
		return
	}
	if err != nil {
		refuseQuantity(d, n, err)
		return
	}
	*dst = v
}

// refuseQuantity takes the reason out of err, since the fault shows the text.
func refuseQuantity(d *reader, n node, err error) {
	var e *status.Error
	why := "a quantity such as 250m, 64Mi or 1G"
	if errors.As(err, &e) {
		if _, reason, ok := strings.Cut(e.Detail, `": `); ok {
			why += " (" + reason + ")"
		}
	}
	d.Refuse(n, n.Shown(), why)
}

// readExtended takes the resources with a vendor's name, which have a "/".
func readExtended(d *reader, name string, n node, r *resourcesDraft) bool {
	if !strings.Contains(name, "/") {
		return false
	}
	if count, ok := d.Uint(n, 1, MaxCount); ok && r.first(d, name, n) {
		r.Extended = append(r.Extended, ExtendedResource{Name: name, Count: count})
	}
	return true
}
