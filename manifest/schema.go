package manifest

import (
	"encoding/json"
	"strings"

	"apocryph/manifest/internal/strictyaml"
)

// SchemaFile is the name that the sample manifest calls the schema by.
const SchemaFile = "apocryph.schema.json"

type schema = map[string]any

func textSchema() schema     { return schema{"type": "string", "minLength": 1} }
func boolSchema() schema     { return schema{"type": "boolean"} }
func scalarSchema() schema   { return schema{"type": []string{"string", "number", "boolean"}} }
func quantitySchema() schema { return schema{"type": []string{"string", "number"}} }
func durationSchema() schema { return schema{"type": []string{"string", "integer"}} }
func pathSchema() schema     { return schema{"type": "string", "pattern": "^/"} }

func refSchema(name string) schema { return schema{"$ref": "#/$defs/" + name} }

func enumSchema(values ...string) schema { return schema{"type": "string", "enum": values} }

func labelSchema(limit int) schema {
	return schema{"type": "string", "pattern": labelPattern.String(), "maxLength": limit}
}

func listSchema(element string, limit int) schema {
	return schema{"type": "array", "maxItems": limit, "items": refSchema(element)}
}

func uintSchema(low, high int) schema {
	return schema{"anyOf": []schema{
		{"type": "integer", "minimum": low, "maximum": high},
		{"type": "string", "pattern": "^[0-9]+$"},
	}}
}

func commandSchema() schema {
	return schema{"anyOf": []schema{
		textSchema(), {"type": "array", "maxItems": MaxArgs, "items": scalarSchema()},
	}}
}

func envSchema() schema {
	return schema{"anyOf": []schema{
		{"type": "object", "maxProperties": MaxEnv, "additionalProperties": scalarSchema(), "propertyNames": schema{"pattern": envPattern.String()}},
		listSchema("envVar", MaxEnv),
	}}
}

func portsSchema() schema {
	return schema{"type": "array", "maxItems": MaxPorts, "items": schema{"anyOf": []schema{
		{"type": "integer", "minimum": 1, "maximum": 65535},
		{"type": "string", "pattern": shortPort.String()},
		refSchema("port"),
	}}}
}

func httpSchema() schema {
	return schema{"anyOf": []schema{{"type": "string", "pattern": shortHTTP.String()}, refSchema("httpCheck")}}
}

// Schema returns the JSON Schema (2020-12) of a manifest file. It is made from
// the tables that the parser runs, so it knows the same fields. It promises
// less than [ParseFile] checks.
func Schema() []byte {
	top := objectSchema(&fileTable)
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "Apocryph manifest"
	extended := schema{"/": schema{
		"type": []string{"integer", "string"}, "description": "A counted resource with a vendor's name, such as nvidia.com/gpu.",
	}}
	resources, limits := objectSchema(&resourcesTable), objectSchema(&limitsTable)
	resources["patternProperties"], limits["patternProperties"] = extended, extended
	top["$defs"] = schema{
		"container": objectSchema(&containerTable),
		"port":      objectSchema(&portTable),
		"envVar":    objectSchema(&envTable),
		"resources": resources,
		"limits":    limits,
		"health":    objectSchema(&healthTable),
		"httpCheck": objectSchema(&httpTable),
		"mount":     objectSchema(&mountTable),
		"volume":    objectSchema(&volumeTable),
		"storage":   objectSchema(&storageTable),
		"access":    objectSchema(&accessTable),
		"replicas":  schema{"anyOf": []schema{uintSchema(1, MaxReplicas), objectSchema(&replicasTable)}},
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(top); err != nil {
		panic(err) // unreachable: strings, numbers and maps of them
	}
	return []byte(b.String())
}

func objectSchema[T any](t *strictyaml.Table[T]) schema {
	properties := schema{}
	var required []string
	for _, f := range t.Fields {
		s := schema{"description": f.Doc}
		for k, v := range f.Schema {
			s[k] = v
		}
		properties[f.Name] = s
		if f.Required && !hasOtherName(t, f.Name) {
			required = append(required, f.Name)
		}
	}
	out := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		out["required"] = required
	}
	return out
}

// hasOtherName: what may come under two names cannot be required under one.
func hasOtherName[T any](t *strictyaml.Table[T], name string) bool {
	for _, f := range t.Fields {
		if f.For == name {
			return true
		}
	}
	return false
}
