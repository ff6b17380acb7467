package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"apocryph/proto/status"
)

func TestMain(m *testing.M) {
	if os.Getenv(stubbornEnv) != "" {
		os.Exit(stubborn())
	}
	goleak.VerifyTestMain(m)
}

// program is an App whose output a test can read.
type program struct {
	App
	out, err bytes.Buffer
}

// newProgram has the variables of env and no others.
func newProgram(env map[string]string) *program {
	p := new(program)
	p.Name, p.Stdin, p.Stdout, p.Stderr = "tool", new(bytes.Buffer), &p.out, &p.err
	p.Getenv = func(name string) string { return env[name] }
	return p
}

// run runs a program with one command, "do", that takes an argument and flags.
func (p *program) run(ctx context.Context, do func(cmd *cobra.Command) error, args ...string) int {
	root := &cobra.Command{Use: "tool", Short: "A tool"}
	cmd := &cobra.Command{Use: "do THING [MORE]", Short: "Do a thing", RunE: func(cmd *cobra.Command, _ []string) error { return do(cmd) }}
	cmd.Flags().String("tee", "auto", "kind")
	cmd.Flags().StringArray("listen", []string{"a", "b"}, "addresses")
	cmd.Flags().Bool("no-mdns", false, "quiet")
	cmd.Flags().Duration("timeout", time.Minute, "time")
	cmd.Flags().Uint32("tail", 0, "lines")
	cmd.Flags().String("config", "", "file")
	group := &cobra.Command{Use: "group", Short: "A group"}
	group.AddCommand(&cobra.Command{Use: "init", Short: "Begin", RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(cmd, group)
	return p.Run(ctx, p.Root(root), args)
}

func nothing(*cobra.Command) error { return nil }

func TestOutcome(t *testing.T) {
	plain := func() context.Context { return context.Background() }
	signalled := func() context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errInterrupted)
		return ctx
	}
	late := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 0)
		cancel()
		return ctx
	}
	untrusted := status.New(status.Untrusted, "a.b", "no proof").WithHint("look closer")
	tests := []struct {
		name string
		ctx  func() context.Context
		err  error
		code int
		text string
	}{
		{"success", plain, nil, 0, ""},
		{"plain", plain, errors.New("it broke"), 1, "tool: error: it broke\n"},
		{"wrapped status", plain, fmt.Errorf("deploying: %w", untrusted), 12, "tool: error: deploying: no proof\nhint: look closer\n"},
		{"several lines", plain, errors.New("no dial\n  * one\n  * two"), 1, "tool: error: no dial; one; two\n"},
		{"control characters", plain, status.New(status.NotFound, "", "no \x1b[2J pod"), 13, "tool: error: no  [2J pod\n"},
		{
			"all faults", plain,
			status.Invalid("x", "the file", []status.Fault{{Field: "a", Got: "1", Line: 2}, {Field: "b\x07", Want: "c"}}), 10,
			"tool: error: the file has 2 faults\n  line 2: a: got 1\n  b , want c\n",
		},
		{
			"log lines", plain,
			&status.Error{Code: status.AppFailed, Detail: "it ended", Log: []string{"web: \x1b]0;oops"}}, 19,
			"tool: error: it ended\n  | web:  ]0;oops\n",
		},
		{"canceled", signalled, fmt.Errorf("waiting: %w", context.Canceled), 130, "tool: error: interrupted\n"},
		{"a call that ended with its context", signalled, status.New(status.DeadlineExceeded, "peer.timeout", "no answer"), 130, "tool: error: interrupted\n"},
		{"a stream that broke", signalled, status.New(status.Unavailable, "peer.lost", "gone"), 130, "tool: error: interrupted\n"},
		{"a library that hides the cause", signalled, errors.New("database: interrupted (9)"), 130, "tool: error: interrupted\n"},
		{"an interruption with a hint", signalled, ErrInterrupted().WithHint("it goes on"), 130, "tool: error: interrupted\nhint: it goes on\n"},
		{"done all the same", signalled, nil, 0, ""},
		{"the deadline is no interruption", late, fmt.Errorf("waiting: %w", context.DeadlineExceeded), 18, "tool: error: waiting: context deadline exceeded\n"},
		{"served to its end", signalled, Served(signalled(), fmt.Errorf("starting: %w", context.Canceled)), 0, ""},
		{"served and told so", signalled, Served(signalled(), status.New(status.Canceled, "x", "ended")), 0, ""},
		{"served and could not stop", signalled, Served(signalled(), errors.New("stopping the store: it did not end")), 1, "tool: error: stopping the store: it did not end\n"},
		{"served and failed", plain, Served(plain(), status.New(status.Conflict, "x", "it runs")), 14, "tool: error: it runs\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgram(nil)
			code := p.run(tt.ctx(), func(*cobra.Command) error { return tt.err }, "do", "x")
			if code != tt.code || p.err.String() != tt.text {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, cmp.Diff(tt.text, p.err.String()))
			}
			if p.out.Len() > 0 {
				t.Errorf("standard output has %q", p.out.String())
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"do"}, "missing argument THING"},
		{[]string{"do", "a", "b", "c"}, `unexpected argument "c"`},
		{[]string{"dp"}, "unknown command \"dp\"\nhint: did you mean do?"},
		{[]string{"bogus"}, "unknown command \"bogus\"\nhint: `tool --help`"},
		{[]string{"group", "inti"}, "unknown command \"inti\"\nhint: did you mean init? `tool group --help`"},
		{[]string{"group", "init", "x"}, `unexpected argument "x"`},
		{[]string{"help", "bogus"}, `unknown command "bogus"`},
		{[]string{"help", "do", "x"}, `unknown command "x"`},
		{[]string{"completion", "bogus"}, `unknown command "bogus"`},
		{[]string{"completion", "bash", "x"}, `unexpected argument "x"`},
		{[]string{"do", "x", "--no-mdsn"}, "unknown flag --no-mdsn\nhint: did you mean --no-mdns?"},
		{[]string{"do", "x", "--wholly-other"}, "unknown flag --wholly-other\nhint: `tool do --help`"},
		{[]string{"do", "x", "-q"}, "unknown flag -q"},
		{[]string{"do", "x", "--tee"}, "--tee needs a value"},
		{[]string{"do", "x", "--tail", "-1"}, `--tail is "-1", want a whole number, not negative`},
		{[]string{"do", "x", "--timeout", "10"}, `--timeout is "10", want a duration such as 90s or 10m`},
		{[]string{"do", "x", "--no-mdns=perhaps"}, `--no-mdns is "perhaps", want true or false`},
	}
	for _, tt := range tests {
		p := newProgram(nil)
		code := p.run(t.Context(), nothing, tt.args...)
		if code != 2 || !bytes.HasPrefix(p.err.Bytes(), []byte("tool: error: "+tt.want)) || !bytes.Contains(p.err.Bytes(), []byte("--help` shows how it is used\n")) {
			t.Errorf("%q: exit %d\n%s", tt.args, code, p.err.String())
		}
	}
}

// TestHelp is what every program answers without doing anything.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"help"},
		{"--help"},
		{"help", "do"},
		{"do", "--help"},
		{"group"},
		{"group", "init", "-h"},
		{"--version"},
		{"version"},
		{"completion"},
		{"completion", "bash"},
		{"completion", "zsh"},
		{"completion", "fish"},
		{"completion", "powershell"},
	} {
		p := newProgram(nil)
		if code := p.run(t.Context(), nothing, args...); code != 0 || p.out.Len() == 0 || p.err.Len() > 0 {
			t.Errorf("%q: exit %d, %d bytes of output\n%s", args, code, p.out.Len(), p.err.String())
		}
	}
	// Help is there for who has a wrong variable, too.
	p := newProgram(map[string]string{"APOCRYPH_TAIL": "x"})
	if code := p.run(t.Context(), nothing, "help", "do"); code != 0 {
		t.Errorf("exit %d: %s", code, p.err.String())
	}
}
