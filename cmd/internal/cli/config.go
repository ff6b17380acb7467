package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"apocryph/proto/status"
)

// envPrefix comes before the name of a flag in the environment.
const envPrefix = "APOCRYPH_"

// configFlag names the configuration file, in the programs that have one.
const configFlag = "config"

// Keys of annotations: of a flag, where its value comes from; of a command,
// the keys of a configuration file that are other commands' flags.
const (
	sourceKey    = "apocryph_source"
	otherKeysKey = "apocryph_other_keys"
)

// EnvName is the variable of a flag: --data-dir is APOCRYPH_DATA_DIR.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settable reports whether a flag has a variable and may be a key of a
// configuration file.
func settable(f *pflag.Flag) bool { return f.Name != "help" && f.Name != "version" }

// AllowKeys lets a command read a configuration file that is another one's:
// the flags of that one are known keys, without effect here.
func AllowKeys(cmd, other *cobra.Command) {
	var names []string
	other.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[otherKeysKey] = strings.Join(names, ",")
}

// Settle gives every flag that was not set on the command line its value from
// the environment, else from the file that --config names, else leaves its
// default. All faults are reported at once.
func (a *App) Settle(cmd *cobra.Command) error {
	file := ""
	if f := cmd.Flags().Lookup(configFlag); f != nil {
		if file = f.Value.String(); !f.Changed {
			file = a.Getenv(EnvName(configFlag))
		}
	}
	values, faults, err := readConfig(file)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, name := range strings.Split(cmd.Annotations[otherKeysKey], ",") {
		known[name] = true
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !settable(f) {
			return
		}
		known[f.Name] = true
		source, fault := a.settleFlag(f, file, values)
		if fault != nil {
			faults = append(faults, *fault)
		}
		// A flag that exists can be annotated.
		_ = cmd.Flags().SetAnnotation(f.Name, sourceKey, []string{source})
	})
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for name, v := range values {
		if known[name] && name != configFlag {
			continue
		}
		fault := status.Fault{Field: name, Got: "an unknown key", Want: "the name of a flag of `provider serve`, without its dashes", Line: v.line}
		if near := nearest(name, names); near != "" && near != configFlag {
			fault.Want = strconv.Quote(near)
		}
		faults = append(faults, fault)
	}
	slices.SortFunc(faults, byLine)
	if len(faults) > 0 {
		what := "the environment"
		if faults[len(faults)-1].Line > 0 {
			what = file
		}
		return status.Invalid("config.invalid", what, faults)
	}
	return nil
}

// settleFlag sets one flag and says where its value is from.
func (a *App) settleFlag(f *pflag.Flag, file string, values map[string]configValue) (source string, fault *status.Fault) {
	env := EnvName(f.Name)
	v, inFile := values[f.Name]
	switch text := a.Getenv(env); {
	case f.Changed:
		return "--" + f.Name, nil
	case text != "":
		if err := setFlag(f, splitList(text)); err != nil {
			return "", &status.Fault{Field: env, Got: strconv.Quote(text), Want: want(f)}
		}
		return env, nil
	case inFile && f.Name != configFlag:
		if err := setFlag(f, v.texts); err != nil || v.list && !isList(f) {
			return "", &status.Fault{Field: f.Name, Got: v.got(), Want: want(f), Line: v.line}
		}
		return fmt.Sprintf("%s:%d", file, v.line), nil
	}
	return "default", nil
}

// Locate adds to the faults of a configuration that names flags where in the
// configuration file their values are.
func Locate(cmd *cobra.Command, err error) error {
	var e *status.Error
	if !errors.As(err, &e) {
		return err
	}
	file, faults := "", slices.Clone(e.Faults)
	for i, fault := range faults {
		name, _, _ := strings.Cut(fault.Field, "[")
		f := cmd.Flags().Lookup(name)
		if f == nil || fault.Line > 0 || len(f.Annotations[sourceKey]) != 1 {
			continue
		}
		source := f.Annotations[sourceKey][0]
		if colon := strings.LastIndexByte(source, ':'); colon > 0 {
			if line, err := strconv.Atoi(source[colon+1:]); err == nil {
				file, faults[i].Line = source[:colon], line
			}
		}
	}
	if file == "" {
		return err
	}
	slices.SortFunc(faults, byLine)
	return status.Invalid(e.Reason, file, faults)
}

func byLine(x, y status.Fault) int {
	return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Field, y.Field))
}

// splitList reads a list in a variable, "a, b".
func splitList(s string) []string {
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

func setFlag(f *pflag.Flag, texts []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(texts)
	}
	return f.Value.Set(strings.Join(texts, ","))
}

// wantsJSON looks for --json where the command line could not be read to its end.
func (a *App) wantsJSON(args []string) bool {
	if on, err := strconv.ParseBool(a.Getenv(EnvName("json"))); err == nil && on {
		return true
	}
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}
