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

	// result has the fields of the last object of --json, said whether it is
	// printed already.
	result any
	said   bool
}

// Main runs a program to its end and returns its exit code. The first SIGINT
// or SIGTERM asks it to stop, the second one ends it at once.
func Main(name string, root func(*App) *cobra.Command) int {
	app := &App{Name: name, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: &Screen{w: os.Stderr}, Getenv: os.Getenv}
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

// The exit codes that are not those of a status: of a command line that cannot
// be understood, and of a command that a signal ended.
const (
	exitUsage       = 2
	exitInterrupted = 130
)

var errInterrupted = errors.New("interrupted")

// Interrupted reports whether a signal has asked the program to stop.
func Interrupted(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errInterrupted)
}

// ErrInterrupted is the error of a command that a signal ended. A command
// returns it itself only to add a hint.
func ErrInterrupted() *status.Error {
	return status.New(status.Canceled, "interrupted", "interrupted")
}

// Run runs a command with arguments and returns its exit code.
func (a *App) Run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	err, code := outcome(ctx, root.ExecuteContext(ctx))
	if code == exitUsage {
		a.JSON = a.JSON || a.wantsJSON(args)
	}
	a.finish(err, code)
	return code
}

// outcome decides what an error is to the process. After a signal it hardly
// matters what exactly broke: a call, a wait or a write ends as it likes when
// its context does, so everything is the interruption, except what a command
// says with [Served] went wrong beside it.
func outcome(ctx context.Context, err error) (*status.Error, int) {
	var u *usageError
	var beside *servedError
	switch {
	case err == nil:
		return nil, 0
	case errors.As(err, &u):
		return u.status, exitUsage
	case errors.As(err, &beside):
		return asStatus(beside.error), status.ExitCode(beside.error)
	case Interrupted(ctx):
		e := asStatus(err)
		if e.Reason != ErrInterrupted().Reason {
			e = ErrInterrupted()
		}
		return e, exitInterrupted
	}
	return asStatus(err), status.ExitCode(err)
}

// asStatus is err as a status whose detail is its whole text.
func asStatus(err error) *status.Error {
	e := status.New(status.CodeOf(err), "", "")
	if had := (*status.Error)(nil); errors.As(err, &had) {
		c := *had
		e = status.New(c.Code, c.Reason, "")
		e.Hint, e.RetryAfter, e.Faults, e.Log = c.Hint, c.RetryAfter, c.Faults, c.Log
	}
	e.Detail = err.Error()
	return e
}

type servedError struct{ error }

func (s *servedError) Unwrap() error { return s.error }

// Served is how a command ends that runs until it is told to stop: the signal
// is its proper end, and an error that came while it stopped is not the
// interruption.
func Served(ctx context.Context, err error) error {
	if err == nil || !Interrupted(ctx) {
		return err
	}
	if errors.Is(err, context.Canceled) || status.CodeOf(err) == status.Canceled {
		return nil
	}
	return &servedError{err}
}
