package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"apocryph/proto/status"
)

// envPrefix comes before the name of a flag in the environment.
const envPrefix = "APOCRYPH_"

// maxConfigBytes bounds a configuration file.
const maxConfigBytes = 1 << 20

// EnvName is the variable of a flag: --data-dir is APOCRYPH_DATA_DIR.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Settle gives every flag that was not set on the command line its value from
// the environment, else from the configuration file, else leaves its default.
// file may be empty. All faults are reported at once.
func (a *App) Settle(cmd *cobra.Command, file string) error {
	values, err := readConfig(file)
	if err != nil {
		return err
	}
	var faults []status.Fault
	known := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		known[f.Name] = true
		if f.Changed || f.Name == "help" {
			return
		}
		if v := a.Getenv(EnvName(f.Name)); v != "" {
			if err := setFlag(f, strings.Split(v, ",")); err != nil {
				faults = append(faults, status.Fault{Field: EnvName(f.Name), Got: v, Want: err.Error()})
			}
			return
		}
		if v, ok := values[f.Name]; ok {
			if err := setFlag(f, v.texts); err != nil {
				faults = append(faults, status.Fault{Field: f.Name, Got: strings.Join(v.texts, ","), Want: err.Error(), Line: v.line})
			}
		}
	})
	for name, v := range values {
		if !known[name] {
			faults = append(faults, status.Fault{Field: name, Got: "an unknown key", Want: "the name of a flag without its dashes", Line: v.line})
		}
	}
	slices.SortFunc(faults, func(x, y status.Fault) int { return strings.Compare(x.Field, y.Field) })
	if len(faults) > 0 {
		return status.Invalid("config.invalid", "the configuration", faults)
	}
	return nil
}

func setFlag(f *pflag.Flag, texts []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(texts)
	}
	if len(texts) != 1 {
		texts = []string{strings.Join(texts, ",")}
	}
	return f.Value.Set(texts[0])
}

type configValue struct {
	texts []string
	line  int
}

// readConfig reads a flat YAML mapping of flag names to scalars or lists of them.
func readConfig(file string) (map[string]configValue, error) {
	out := map[string]configValue{}
	if file == "" {
		return out, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "config.read", "reading the configuration file")
	}
	if len(b) > maxConfigBytes {
		return nil, status.New(status.InvalidArgument, "config.size", "the configuration file has %d bytes, want at most %d", len(b), maxConfigBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, status.New(status.InvalidArgument, "config.yaml", "%s: %v", file, err)
	}
	if len(doc.Content) == 0 {
		return out, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, status.New(status.InvalidArgument, "config.yaml", "%s: want a mapping of flag names to values", file)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		value := configValue{line: k.Line}
		switch v.Kind {
		case yaml.ScalarNode:
			value.texts = []string{v.Value}
		case yaml.SequenceNode:
			for _, n := range v.Content {
				value.texts = append(value.texts, n.Value)
			}
		default:
			return nil, status.New(status.InvalidArgument, "config.yaml", "%s: line %d: want a value or a list", file, v.Line)
		}
		if _, twice := out[k.Value]; twice {
			return nil, status.New(status.InvalidArgument, "config.yaml", "%s: line %d: %s is set twice", file, k.Line, k.Value)
		}
		out[k.Value] = value
	}
	return out, nil
}

// Effective is the value of every flag after [App.Settle], in the form of a
// configuration file.
func Effective(cmd *cobra.Command) string {
	var b strings.Builder
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "config" || f.Name == "json" {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			fmt.Fprintf(&b, "%s:", f.Name)
			if len(list.GetSlice()) == 0 {
				b.WriteString(" []")
			}
			b.WriteString("\n")
			for _, v := range list.GetSlice() {
				fmt.Fprintf(&b, "  - %q\n", v)
			}
			return
		}
		fmt.Fprintf(&b, "%s: %q\n", f.Name, f.Value.String())
	})
	return b.String()
}
