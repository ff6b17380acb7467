package strictyaml

import (
	"strings"

	"apocryph/proto/nearest"
)

// Field is one field of a mapping, and how it is read into a T.
type Field[T any] struct {
	Name string
	// Doc is one sentence for people, shown by editors.
	Doc string
	// Schema is the JSON Schema of the value; nil where none is generated.
	Schema map[string]any
	// Required fields must be there.
	Required bool
	// For names the field that this one is another name of.
	For string
	Set func(d *Doc, n Node, dst *T)
}

// Table is a mapping with fixed fields.
type Table[T any] struct {
	Fields []Field[T]
	// Other reads a field that is not in the table and reports whether it is
	// one. May be nil.
	Other func(d *Doc, name string, n Node, dst *T) bool
	// Elsewhere says where an unknown field belongs, or "". May be nil.
	Elsewhere func(name string) string
}

// maxFields bounds one mapping with fixed fields: none has nearly as many.
const maxFields = 128

// Read reads n into dst and returns the fields that are there, by name.
func (t *Table[T]) Read(d *Doc, n Node, dst *T) map[string]Node {
	if !n.IsMap() {
		d.Refuse(n, n.Shown(), "a mapping of "+strings.Join(t.names(), ", "))
		return nil
	}
	seen := map[string]Node{}
	for _, e := range d.Map(n, maxFields) {
		f := t.find(e.Key)
		if f == nil {
			if t.Other == nil || !t.Other(d, e.Key, e.Value, dst) {
				t.unknown(d, e)
			}
			continue
		}
		name := f.Name
		if f.For != "" {
			name = f.For
		}
		if _, again := seen[name]; again {
			d.Refuse(e.Value, f.Name+" as well", "only one of the names of "+name)
			continue
		}
		seen[name] = e.Value
		f.Set(d, e.Value, dst)
	}
	for _, f := range t.Fields {
		if _, ok := seen[f.Name]; f.Required && !ok {
			d.RefuseField(n, f.Name, "nothing", "a value: it is required")
		}
	}
	return seen
}

func (t *Table[T]) find(name string) *Field[T] {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

func (t *Table[T]) names() []string {
	var out []string
	for _, f := range t.Fields {
		if f.For == "" {
			out = append(out, f.Name)
		}
	}
	return out
}

// Has reports whether name is a field of the table.
func (t *Table[T]) Has(name string) bool { return t.find(name) != nil }

func (t *Table[T]) unknown(d *Doc, e Entry) {
	got := "unknown field " + Quote(e.Key)
	if t.Elsewhere != nil {
		if want := t.Elsewhere(e.Key); want != "" {
			d.Refuse(e.Value, got, want)
			return
		}
	}
	if near := nearest.Name(e.Key, t.names()); near != "" {
		d.Refuse(e.Value, got+", did you mean "+Quote(near)+"?", "")
		return
	}
	d.Refuse(e.Value, got, "one of "+strings.Join(t.names(), ", "))
}
