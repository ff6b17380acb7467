package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"apocryph/manifest/internal/strictyaml"
)

func TestSchemaIsCommitted(t *testing.T) {
	const path = "schema.json"
	if *update {
		if err := os.WriteFile(path, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, Schema()) {
		t.Error("schema.json is not what Schema returns; run the test with -update")
	}
}

func loadSchema(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// matches is the part of JSON Schema that ours uses.
func matches(root map[string]any, s map[string]any, value any) error {
	if ref, ok := s["$ref"].(string); ok {
		def, ok := root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return fmt.Errorf("no definition %s", ref)
		}
		return matches(root, def, value)
	}
	if forms, ok := s["anyOf"].([]any); ok {
		var err error
		for _, one := range forms {
			if err = matches(root, one.(map[string]any), value); err == nil {
				return nil
			}
		}
		return fmt.Errorf("none of the forms, %w", err)
	}
	if !hasType(s["type"], value) {
		return fmt.Errorf("%v is not %v", value, s["type"])
	}
	if text, ok := value.(string); ok {
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(text) {
			return fmt.Errorf("%q is not like %s", text, p)
		}
		if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, any(text)) && !slices.Contains(enum, any(strings.ToLower(text))) {
			return fmt.Errorf("%q is not one of %v", text, enum)
		}
	}
	if list, ok := value.([]any); ok {
		for _, e := range list {
			if err := matches(root, s["items"].(map[string]any), e); err != nil {
				return err
			}
		}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	for _, r := range asList(s["required"]) {
		if _, ok := object[r.(string)]; !ok {
			return fmt.Errorf("no %v", r)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for k, v := range object {
		p, ok := properties[k].(map[string]any)
		for pattern, extra := range asMap(s["patternProperties"]) {
			if !ok && regexp.MustCompile(pattern).MatchString(k) {
				p, ok = extra.(map[string]any), true
			}
		}
		if extra, free := s["additionalProperties"].(map[string]any); !ok && free {
			p, ok = extra, true
		}
		if !ok {
			return fmt.Errorf("unknown property %s", k)
		}
		if err := matches(root, p, v); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

func asList(v any) []any         { l, _ := v.([]any); return l }
func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

func hasType(types, value any) bool {
	name := "object"
	switch v := value.(type) {
	case string:
		name = "string"
	case bool:
		name = "boolean"
	case []any:
		name = "array"
	case float64:
		name = "number"
		if v == float64(int64(v)) && (types == "integer" || slices.Contains(asList(types), any("integer"))) {
			name = "integer"
		}
	}
	return types == name || slices.Contains(asList(types), any(name))
}

// check converts a YAML text to JSON values and matches them.
func check(t *testing.T, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(j, &v); err != nil {
		t.Fatal(err)
	}
	s := loadSchema(t)
	return matches(s, s, v)
}

func TestSchemaAcceptsSamples(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := check(t, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := check(t, Sample("app")); err != nil {
		t.Error(err)
	}
}

func TestSchemaRefuses(t *testing.T) {
	for _, text := range []string{
		"name: a",
		"name: A\ncontainers: [{image: x}]",
		"name: a\ncontainers: [{imgae: x, image: y}]",
		"name: a\ncontainers: [{image: 5}]",
		"name: a\ncontainers: [{image: x, ports: ['a:b']}]",
		"name: a\ncontainers: [{image: x, resources: {memroy: 1}}]",
		"name: a\ncontainers: [{image: x}]\nvolumes: [{name: v, type: nfs}]",
	} {
		if err := check(t, []byte(text)); err == nil {
			t.Errorf("accepted: %s", text)
		}
	}
}

// properties are the field names of a definition; "" is the top.
func properties(t *testing.T, def string) []string {
	s := loadSchema(t)
	if def != "" {
		s = asMap(asMap(s["$defs"])[def])
	}
	for _, one := range asList(s["anyOf"]) {
		if o := asMap(one); o["type"] == "object" {
			s = o
		}
	}
	var out []string
	for name, p := range asMap(s["properties"]) {
		if asMap(p)["description"] == "" {
			t.Errorf("%s.%s has no description", def, name)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func fieldNames[T any](table *strictyaml.Table[T]) []string {
	var out []string
	for _, f := range table.Fields {
		out = append(out, f.Name)
	}
	slices.Sort(out)
	return out
}

// TestSchemaKnowsTheParser: each field of the one is a field of the other, and
// no definition is left over.
func TestSchemaKnowsTheParser(t *testing.T) {
	want := map[string][]string{
		"":          fieldNames(&fileTable),
		"container": fieldNames(&containerTable),
		"port":      fieldNames(&portTable),
		"envVar":    fieldNames(&envTable),
		"resources": fieldNames(&resourcesTable),
		"limits":    fieldNames(&limitsTable),
		"health":    fieldNames(&healthTable),
		"httpCheck": fieldNames(&httpTable),
		"mount":     fieldNames(&mountTable),
		"volume":    fieldNames(&volumeTable),
		"storage":   fieldNames(&storageTable),
		"access":    fieldNames(&accessTable),
		"replicas":  fieldNames(&replicasTable),
	}
	for def, names := range want {
		if got := properties(t, def); !slices.Equal(got, names) {
			t.Errorf("%q: schema has %v, parser %v", def, got, names)
		}
	}
	for def := range asMap(loadSchema(t)["$defs"]) {
		if want[def] == nil {
			t.Errorf("no table for %s", def)
		}
		if !bytes.Contains(Schema(), []byte(`"#/$defs/`+def+`"`)) {
			t.Errorf("%s is not used", def)
		}
	}
}

func TestSample(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web", "My App!": "my-app", "": "app", "...": "app", "--a--": "a", "Größe": "gr--e",
		strings.Repeat("ab", 40): strings.Repeat("ab", 20),
		strings.Repeat("a-", 40): strings.Repeat("a-", 19) + "a",
	} {
		text := Sample(name)
		m, err := ParseFile(text)
		if err != nil {
			t.Fatalf("%q: %v", name, faultLines(err))
		}
		if m.Name != want {
			t.Errorf("%q became %q, want %q", name, m.Name, want)
		}
		if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=./"+SchemaFile+"\n")) {
			t.Error("the sample does not name the schema")
		}
	}
}

// TestSampleComments: what the comments of the sample suggest is accepted.
func TestSampleComments(t *testing.T) {
	text := string(Sample("app"))
	for _, old := range []string{
		"    # command:", "    # args:", "      # nvidia.com", "    # health:",
		"    # volumes:", "    #   - {name: data", "    #   - {path: /tmp", "    #   - {path: /run", "# volumes:", "#   - {name: data, type",
	} {
		if !strings.Contains(text, old) {
			t.Errorf("the sample has no %q", old)
		}
		text = strings.Replace(text, old, strings.Replace(old, "# ", "", 1), 1)
	}
	m := mustParse(t, text)
	if len(m.Volumes) != 3 || m.Containers[0].Health == nil || len(m.Containers[0].Resources.Extended) != 1 {
		t.Errorf("got %+v", m)
	}
}
