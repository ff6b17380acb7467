package httpapi

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"apocryph/provider"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
)

// schema is the part of JSON Schema that OpenAPI 3.0 and 3.1 have in common and
// Go types need.
type schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Description string             `json:"description,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	// Additional is a schema, or false for a closed object.
	Additional any      `json:"additionalProperties,omitempty"`
	Minimum    *float64 `json:"minimum,omitempty"`
	Maximum    *float64 `json:"maximum,omitempty"`
	MaxLength  int      `json:"maxLength,omitempty"`
	Pattern    string   `json:"pattern,omitempty"`
}

// enums are the values of Go types that are one of a few strings.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[deploy.Status](): {
		string(deploy.Pending), string(deploy.Running), string(deploy.Succeeded), string(deploy.Failed), string(deploy.Cancelled),
	},
	reflect.TypeFor[builds.Status](): {string(builds.Pending), string(builds.Running), string(builds.Succeeded), string(builds.Failed)},
}

// schemas reads schemas off Go types, the structs among them once each.
type schemas struct{ named map[string]*schema }

// of is the schema of what encoding/json makes of a value.
func (s *schemas) of(v any) *schema {
	if v == nil {
		return &schema{}
	}
	return s.typ(reflect.TypeOf(v))
}

func (s *schemas) typ(t reflect.Type) *schema {
	zero := 0.0
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return &schema{}
	case enums[t] != nil:
		return &schema{Type: "string", Enum: enums[t]}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()), t == reflect.TypeFor[provider.PodID]():
		return &schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.typ(t.Elem())
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Int16, reflect.Int8:
		return &schema{Type: "integer"}
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return &schema{Type: "integer", Minimum: &zero}
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		return &schema{Type: "array", Items: s.typ(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Additional: s.typ(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	default:
		return &schema{}
	}
}

func (s *schemas) object(t reflect.Type) *schema {
	name := typeName(t)
	ref := &schema{Ref: "#/components/schemas/" + name}
	if s.named[name] != nil {
		return ref
	}
	o := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	s.named[name] = o // before its fields: a type may have itself within
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		o.Properties[tag] = s.typ(f.Type)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			o.Required = append(o.Required, tag)
		}
	}
	slices.Sort(o.Required)
	return ref
}

// typeName is a component's name: the Go type's, with that of its argument.
func typeName(t reflect.Type) string {
	name, arg, generic := strings.Cut(t.Name(), "[")
	name = upper(name)
	if generic {
		arg = strings.TrimSuffix(arg, "]")
		name += upper(arg[strings.LastIndexAny(arg, "./")+1:])
	}
	return name
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
