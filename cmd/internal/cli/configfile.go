package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"apocryph/proto/status"
)

// maxConfigBytes bounds a configuration file.
const maxConfigBytes = 1 << 20

// configValue is one key's value.
type configValue struct {
	texts []string
	list  bool
	line  int
}

func (v configValue) got() string {
	if v.list {
		return "[" + strings.Join(v.texts, ", ") + "]"
	}
	return strconv.Quote(strings.Join(v.texts, ", "))
}

// readConfig reads a file, or nothing when it has no name.
func readConfig(file string) (map[string]configValue, []status.Fault, error) {
	if file == "" {
		return nil, nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, status.Wrap(err, status.InvalidArgument, "config.read", "reading the configuration file").
			WithHint("--config names it, or %s", EnvName(configFlag))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, nil, status.Wrap(err, status.InvalidArgument, "config.read", "reading the configuration file")
	}
	out, faults, err := parseConfig(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, faults, nil
}

// parseConfig reads a flat YAML mapping of names to scalars or lists of them.
// With faults, the values are those without.
func parseConfig(b []byte) (map[string]configValue, []status.Fault, error) {
	if len(b) > maxConfigBytes {
		return nil, nil, status.New(status.InvalidArgument, "config.size", "the configuration has more than %d bytes", maxConfigBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, status.New(status.InvalidArgument, "config.yaml", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, nil, status.New(status.InvalidArgument, "config.yaml", "got more than one YAML document, want one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, nil, status.New(status.InvalidArgument, "config.yaml", "got no mapping, want flag names and values such as `tee: tpm2`")
	}
	out := map[string]configValue{}
	var faults []status.Fault
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		if _, twice := out[k.Value]; twice {
			faults = append(faults, status.Fault{Field: k.Value, Got: "it a second time", Want: "it once", Line: k.Line})
			continue
		}
		value, ok := valueOf(v)
		if !ok {
			faults = append(faults, status.Fault{Field: k.Value, Got: kindOf(v), Want: "a value or a list of them", Line: v.Line})
			continue
		}
		value.line = k.Line
		out[k.Value] = value
	}
	return out, faults, nil
}

func valueOf(n *yaml.Node) (configValue, bool) {
	switch {
	case isScalar(n):
		return configValue{texts: []string{n.Value}}, true
	case n.Kind == yaml.SequenceNode:
		v := configValue{list: true, texts: []string{}}
		for _, item := range n.Content {
			if !isScalar(item) {
				return v, false
			}
			v.texts = append(v.texts, item.Value)
		}
		return v, true
	}
	return configValue{}, false
}

func isScalar(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.AliasNode:
		return "an alias"
	case yaml.SequenceNode:
		return "a list of something else"
	}
	return "nothing"
}

// Setting is one flag as it is in effect.
type Setting struct {
	Name string
	// Value is a string, a bool or a []string.
	Value any
	// Source is "default", "--NAME", a variable's name or FILE:LINE.
	Source string
}

// Effective is every flag of a command that a configuration file may set, by name.
func Effective(cmd *cobra.Command) []Setting {
	var out []Setting
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !settable(f) || f.Name == configFlag || f.Name == "json" {
			return
		}
		s := Setting{Name: f.Name, Value: f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			s.Value = list.GetSlice()
		} else if f.Value.Type() == "bool" {
			s.Value = f.Value.String() == "true"
		}
		if from := f.Annotations[sourceKey]; len(from) == 1 {
			s.Source = from[0]
		}
		out = append(out, s)
	})
	return out
}

// ConfigFile writes settings as a configuration file. Where a value is not the
// default, a comment says where it comes from.
func ConfigFile(settings []Setting) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range settings {
		key, value := new(yaml.Node), new(yaml.Node)
		key.SetString(s.Name)
		if err := value.Encode(s.Value); err != nil {
			return nil, fmt.Errorf("writing %s: %w", s.Name, err)
		}
		if s.Source != "default" {
			// Beside a list the comment belongs to its key.
			at := value
			if value.Kind == yaml.SequenceNode && len(value.Content) > 0 {
				at = key
			}
			at.LineComment = "# " + Clean(s.Source)
		}
		root.Content = append(root.Content, key, value)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}
