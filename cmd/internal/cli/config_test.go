package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPrecedence: the flag counts before the variable, the variable before the
// file, the file before the default.
func TestPrecedence(t *testing.T) {
	const file = "tee: tpm2\nlisten: [x, y]\nno-mdns: true\ntimeout: 5s\n"
	tests := []struct {
		name string
		env  map[string]string
		file string
		args []string
		want map[string]any
		from map[string]string
	}{
		{
			"default", nil, "", nil,
			map[string]any{"tee": "auto", "listen": []string{"a", "b"}, "no-mdns": false, "timeout": "1m0s", "tail": "0"},
			map[string]string{"tee": "default", "listen": "default"},
		},
		{
			"file", nil, file, nil,
			map[string]any{"tee": "tpm2", "listen": []string{"x", "y"}, "no-mdns": true, "timeout": "5s", "tail": "0"},
			map[string]string{"tee": "c.yaml:1", "listen": "c.yaml:2", "tail": "default"},
		},
		{
			"environment",
			map[string]string{"APOCRYPH_TEE": "soft", "APOCRYPH_LISTEN": "p, q", "APOCRYPH_NO_MDNS": "false"},
			file, nil,
			map[string]any{"tee": "soft", "listen": []string{"p", "q"}, "no-mdns": false, "timeout": "5s", "tail": "0"},
			map[string]string{"tee": "APOCRYPH_TEE", "timeout": "c.yaml:4"},
		},
		{
			"flag",
			map[string]string{"APOCRYPH_TEE": "soft", "APOCRYPH_LISTEN": "p,q"},
			file,
			[]string{"--tee", "tdx", "--listen", "z"},
			map[string]any{"tee": "tdx", "listen": []string{"z"}, "no-mdns": true, "timeout": "5s", "tail": "0"},
			map[string]string{"tee": "--tee", "listen": "--listen"},
		},
		{
			"the flag's default, said aloud",
			map[string]string{"APOCRYPH_TEE": "soft"},
			file,
			[]string{"--tee", "auto"},
			map[string]any{"tee": "auto", "listen": []string{"x", "y"}, "no-mdns": true, "timeout": "5s", "tail": "0"},
			map[string]string{"tee": "--tee"},
		},
		{
			"one value for a list, none for another",
			map[string]string{"APOCRYPH_TAIL": ""},
			"listen: z\ntail: 7\n", nil,
			map[string]any{"tee": "auto", "listen": []string{"z"}, "no-mdns": false, "timeout": "1m0s", "tail": "7"},
			nil,
		},
		{
			"an empty list", nil, "listen: []\n", nil,
			map[string]any{"tee": "auto", "listen": []string{}, "no-mdns": false, "timeout": "1m0s", "tail": "0"},
			nil,
		},
		{
			"an empty file", nil, "# nothing\n", nil,
			map[string]any{"tee": "auto", "listen": []string{"a", "b"}, "no-mdns": false, "timeout": "1m0s", "tail": "0"},
			nil,
		},
	}
	for _, tt := range tests {
		for _, byEnv := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				env, args := map[string]string{}, append([]string{"do", "x"}, tt.args...)
				for k, v := range tt.env {
					env[k] = v
				}
				path := write(t, tt.file)
				if byEnv {
					env["APOCRYPH_CONFIG"] = path
				} else {
					args = append(args, "--config", path)
				}
				got, from := map[string]any{}, map[string]string{}
				p := newProgram(env)
				code := p.run(t.Context(), func(cmd *cobra.Command) error {
					for _, s := range Effective(cmd) {
						got[s.Name] = s.Value
						if _, ok := tt.from[s.Name]; ok {
							from[s.Name] = strings.TrimPrefix(s.Source, filepath.Dir(path)+"/")
						}
					}
					return nil
				}, args...)
				if code != 0 {
					t.Fatalf("exit %d: %s", code, p.err.String())
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(tt.from, from); diff != "" && tt.from != nil {
					t.Error(diff)
				}
			})
		}
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name, file string
		env        map[string]string
		want       []string
	}{
		{"unknown keys, all of them", "tee: soft\nteee: x\nwholly: y\n", nil, []string{`line 2: teee: got an unknown key, want "tee"`, "line 3: wholly: got an unknown key"}},
		{"of every kind", "listen: {a: b}\ntee: [a, b]\ntee: c\ntail: many\n", nil, []string{
			"line 1: listen: got a mapping", "line 2: tee: got [a, b], want a value", "line 3: tee: got it a second time", `line 4: tail: got "many", want a whole number`,
		}},
		{"no value", "tee:\n", nil, []string{"line 1: tee: got nothing"}},
		{"an alias", "tee: &a soft\nlisten: *a\n", nil, []string{"line 2: listen: got an alias"}},
		{"lists of lists", "listen: [[a]]\n", nil, []string{"line 1: listen: got a list of something else"}},
		{"the file names a file", "config: other.yaml\n", nil, []string{"line 1: config: got an unknown key"}},
		{"help is no setting", "help: true\n", nil, []string{"line 1: help: got an unknown key"}},
		{"underscores", "no_mdns: true\n", nil, []string{`line 1: no_mdns: got an unknown key, want "no-mdns"`}},
		{"no YAML", "tee: [\n", nil, []string{"c.yaml: line "}},
		{"no mapping", "- tee\n", nil, []string{"want flag names and values"}},
		{"two documents", "tee: soft\n---\ntee: tdx\n", nil, []string{"more than one YAML document"}},
		{"too big", "#" + strings.Repeat(" ", maxConfigBytes) + "\n", nil, []string{"more than 1048576 bytes"}},
		{"the environment", "", map[string]string{"APOCRYPH_TAIL": "x", "APOCRYPH_TIMEOUT": "soon"}, []string{`APOCRYPH_TAIL: got "x"`, `APOCRYPH_TIMEOUT: got "soon", want a duration`}},
		{"both", "tail: x\n", map[string]string{"APOCRYPH_TIMEOUT": "soon"}, []string{"line 1: tail", "APOCRYPH_TIMEOUT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgram(tt.env)
			code := p.run(t.Context(), nothing, "do", "x", "--config", write(t, tt.file))
			if code != 10 {
				t.Errorf("exit %d, want 10", code)
			}
			for _, want := range tt.want {
				if !strings.Contains(p.err.String(), want) {
					t.Errorf("standard error lacks %q:\n%s", want, p.err.String())
				}
			}
		})
	}
	p := newProgram(nil)
	if code := p.run(t.Context(), nothing, "do", "x", "--config", "no-such-file"); code != 10 || !strings.Contains(p.err.String(), "hint: ") {
		t.Errorf("a missing file: exit %d, %s", code, p.err.String())
	}
}

// TestConfigFileRoundTrip: what is written is read back as the same settings.
func TestConfigFileRoundTrip(t *testing.T) {
	effective := func(args ...string) (settings []Setting, file string) {
		p := newProgram(nil)
		code := p.run(t.Context(), func(cmd *cobra.Command) error {
			settings = Effective(cmd)
			b, err := ConfigFile(settings)
			file = string(b)
			return err
		}, append([]string{"do", "x"}, args...)...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, p.err.String())
		}
		return settings, file
	}
	first, file := effective("--tee", "# yes: 'no'\"", "--listen", ":8081", "--listen", "- *", "--no-mdns", "--timeout", "90s", "--tail", "3")
	second, _ := effective("--config", write(t, file))
	for i := range second {
		first[i].Source, second[i].Source = "", ""
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("%s\n%s", diff, file)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"", "tee: soft\n", "listen: [a, b]\n", "a: &x {b: *x}\n", "- a", "a: 1\na: 2\n", "? [a]\n: b\n", "!!binary a: b", "a: !!null b", "---\n---\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, faults, err := parseConfig(b)
		if err != nil && (values != nil || faults != nil) {
			t.Errorf("%v and values", err)
		}
		for name, v := range values {
			if v.line < 1 || !v.list && len(v.texts) != 1 {
				t.Errorf("%q: %+v", name, v)
			}
		}
	})
}
