package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"apocryph/proto/status"
)

// App is what a program has of its process.
type App struct {
	// Name is the program's name in messages.
	Name           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv looks up an environment variable.
	Getenv func(string) string
	// JSON is set by --json: one object a line on standard output.
	JSON bool
}

// Main runs a program to its end and returns its exit code. The first SIGINT
// or SIGTERM asks it to stop, the second one ends it at once.
func Main(name string, root func(*App) *cobra.Command) int {
	app := &App{Name: name, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() { // ends with the process
		if _, ok := <-signals; ok {
			cancel(errInterrupted)
		}
		if _, ok := <-signals; ok {
			os.Exit(exitInterrupted)
		}
	}()
	return app.Run(ctx, root(app), os.Args[1:])
}

// exitInterrupted is the exit code of a command that a signal ended.
const exitInterrupted = 130

var errInterrupted = errors.New("interrupted")

// Run runs a command with arguments and returns its exit code.
func (a *App) Run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err, cmd)
	})
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	interrupted := errors.Is(context.Cause(ctx), errInterrupted) && errors.Is(err, context.Canceled)
	var u *usageError
	switch {
	case interrupted:
		a.PrintError(status.New(status.Canceled, "interrupted", "interrupted"))
		return exitInterrupted
	case errors.As(err, &u):
		a.PrintError(u.status)
		return exitUsage
	}
	a.PrintError(err)
	return status.ExitCode(err)
}

// exitUsage is the exit code of a command line that cannot be understood.
const exitUsage = 2

type usageError struct{ status *status.Error }

func (u *usageError) Error() string { return u.status.Error() }

func usage(err error, cmd *cobra.Command) error {
	return &usageError{status.New(status.InvalidArgument, "usage", "%v", err).WithHint("`%s --help` shows how it is used", cmd.CommandPath())}
}

// Usage is an error about how a command was called.
func Usage(cmd *cobra.Command, format string, args ...any) error {
	return usage(status.New(status.InvalidArgument, "usage", format, args...), cmd)
}

// Args makes a positional argument check whose refusal is a usage error.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(err, cmd)
		}
		return nil
	}
}

// Group is a command that only holds others. Called by itself it shows its
// help; an unknown sub-command is a usage error.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = ", did you mean " + near[0] + "?"
		}
		return Usage(cmd, "unknown command %q%s", args[0], hint)
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}
