package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"apocryph/proto/status"
)

type fields struct {
	App string `json:"app"`
	N   int    `json:"n"`
}

func TestResultIsTheLastObject(t *testing.T) {
	full := &status.Error{
		Code: status.AppFailed, Reason: "app.exited", Detail: "it <ended>", Hint: "look",
		Faults: []status.Fault{{Field: "a", Got: "1", Want: "2", Line: 3}}, Log: []string{"bye"},
	}
	tests := []struct {
		name string
		do   func(p *program) error
		args []string
		want string
	}{
		{"nothing to say", func(*program) error { return nil }, nil, ""},
		{"a result", func(p *program) error { p.Result(fields{"a", 1}); return nil }, nil, `{"event":"result","app":"a","n":1}`},
		{"no fields", func(p *program) error { p.Result(struct{}{}); return nil }, nil, `{"event":"result"}`},
		{
			"events come first", func(p *program) error {
				p.Result(fields{"a", 1})
				p.Emit("step", fields{"b", 2})
				return nil
			}, nil, `{"event":"step","app":"b","n":2}` + "\n" + `{"event":"result","app":"a","n":1}`,
		},
		{
			"a result at once", func(p *program) error { p.ResultNow(fields{"a", 1}); return nil }, nil,
			`{"event":"result","app":"a","n":1}`,
		},
		{
			"a result at once and an error", func(p *program) error { p.ResultNow(fields{"a", 1}); return errors.New("x") }, nil,
			`{"event":"result","app":"a","n":1}` + "\n" + `{"event":"result","app":"a","n":1,"error":{"code":"internal","message":"x"},"exit":1}`,
		},
		{
			"an error", func(*program) error { return full }, nil,
			`{"event":"result","error":{"code":"app_failed","reason":"app.exited","message":"it <ended>","hint":"look",` +
				`"faults":[{"field":"a","got":"1","want":"2","line":3}],"log":["bye"]},"exit":19}`,
		},
		{
			"a result and an error", func(p *program) error { p.Result(fields{"a", 1}); return full }, nil,
			`{"event":"result","app":"a","n":1,"error":{"code":"app_failed","reason":"app.exited","message":"it <ended>","hint":"look",` +
				`"faults":[{"field":"a","got":"1","want":"2","line":3}],"log":["bye"]},"exit":19}`,
		},
		{
			"a command line that is not read to its end", func(*program) error { return nil },
			[]string{"do", "--bogus", "--json"},
			`{"event":"result","error":{"code":"invalid_argument","reason":"usage","message":"unknown flag --bogus","hint":"` + "`tool do --help` shows how it is used" + `"},"exit":2}`,
		},
		{"--json behind --", func(*program) error { return nil }, []string{"do", "--bogus", "--", "--json"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgram(nil)
			if tt.args == nil {
				tt.args = []string{"do", "x", "--json"}
			}
			p.run(t.Context(), func(*cobra.Command) error { return tt.do(p) }, tt.args...)
			if diff := cmp.Diff(tt.want, strings.TrimSuffix(p.out.String(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutJSONNoObject(t *testing.T) {
	p := newProgram(nil)
	p.run(t.Context(), func(*cobra.Command) error { p.Result(fields{"a", 1}); return errors.New("x") }, "do", "x")
	if p.out.Len() > 0 {
		t.Errorf("standard output has %q", p.out.String())
	}
}

func TestJSONByEnvironment(t *testing.T) {
	for _, args := range [][]string{{"do", "x"}, {"do"}} {
		p := newProgram(map[string]string{"APOCRYPH_JSON": "true"})
		p.run(t.Context(), func(*cobra.Command) error { p.Result(struct{}{}); return nil }, args...)
		if !strings.HasPrefix(p.out.String(), `{"event":"result"`) {
			t.Errorf("%q: %q", args, p.out.String())
		}
	}
}

// FuzzText: whatever a stranger wrote, a terminal gets nothing to obey from it,
// and JSON says the same.
func FuzzText(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred", "\x9b31m", "a\u202eb", "\xff\xfe", "tab\there", "ü €", "\U000e0001", "line\nline\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean := Clean(s)
		if i := strings.IndexFunc(clean, obeyed); i >= 0 {
			t.Errorf("%q leaves %q", s, clean[i:])
		}
		if !strings.ContainsFunc(s, func(r rune) bool { return obeyed(r) || r == unicode.ReplacementChar }) && clean != s {
			t.Errorf("%q became %q", s, clean)
		}
		if strings.Count(CleanLines(s), "\n") != strings.Count(s, "\n") {
			t.Errorf("%q lost lines", s)
		}
		p := newProgram(nil)
		p.Emit("line", map[string]string{"text": s})
		line := strings.TrimSuffix(p.out.String(), "\n")
		if strings.ContainsFunc(line, obeyed) {
			t.Errorf("%q is written as %q", s, line)
		}
		var back struct{ Event, Text string }
		if err := json.Unmarshal([]byte(line), &back); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if back.Event != "line" || utf8.ValidString(s) && back.Text != s {
			t.Errorf("%q came back as %q", s, back.Text)
		}
	})
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 30: "1.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
	if got := Count(1, "check") + Count(2, "check") + OrDash("") + OrDash("a"); got != "1 check2 checks-a" {
		t.Errorf("got %q", got)
	}
	if got := Harmless([]byte("a\tb\x00c\xc0d")); string(got) != "a\tb c d" {
		t.Errorf("got %q", got)
	}
}
