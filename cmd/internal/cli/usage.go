package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"apocryph/proto/status"
)

// usageError is a command line that cannot be understood.
type usageError struct{ status *status.Error }

func (u *usageError) Error() string { return u.status.Error() }

// Usage is an error about how a command was called.
func Usage(cmd *cobra.Command, format string, args ...any) error {
	return usage(cmd, "", format, args...)
}

// usage adds what may have been meant to the hint; near may be empty.
func usage(cmd *cobra.Command, near, format string, args ...any) error {
	hint := "`" + cmd.CommandPath() + " --help` shows how it is used"
	if near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &usageError{status.New(status.InvalidArgument, "usage", format, args...).WithHint("%s", hint)}
}

// Positional checks a command's arguments against the words after its name in
// Use: NAME is required, [NAME] is not.
func Positional(cmd *cobra.Command, args []string) error {
	names := strings.Fields(cmd.Use)[1:]
	if len(args) > len(names) {
		return Usage(cmd, "unexpected argument %q", args[len(names)])
	}
	for _, name := range names[len(args):] {
		if !strings.HasPrefix(name, "[") {
			return Usage(cmd, "missing argument %s", name)
		}
	}
	return nil
}

// Group makes a command that only holds others. Called by itself it shows its
// help; an unknown sub-command is a usage error.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.Args = cobra.ArbitraryArgs
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usage(cmd, nearest(name, names), "unknown command %q", name)
}

// flagError says what is wrong with a flag on the command line.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return Usage(cmd, "unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		near := nearest(unknown.GetSpecifiedName(), names)
		if near != "" {
			near = "--" + near
		}
		return usage(cmd, near, "unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return Usage(cmd, "--%s needs a value", bare.GetFlag().Name)
	case errors.As(err, &bad):
		return Usage(cmd, "--%s is %q, want %s", bad.GetFlag().Name, bad.GetValue(), want(bad.GetFlag()))
	}
	return Usage(cmd, "%v", err)
}

// want says what values a flag takes.
func want(f *pflag.Flag) string {
	switch t := f.Value.Type(); t {
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 90s or 10m"
	case "uint32":
		return "a whole number, not negative"
	case "stringArray":
		return "a value or a list of them"
	case "string":
		return "a value"
	default:
		return fmt.Sprintf("a value of type %s", t)
	}
}

// nearest is the candidate that a word was most likely meant to be, or "": one
// edit away, and for a word of six letters or more two.
func nearest(word string, candidates []string) string {
	best, least := "", min(2, max(1, len(word)/3))+1
	for _, c := range candidates {
		if d := edits(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short ASCII words, except that two
// neighbours that changed places count once.
func edits(a, b string) int {
	var older, row []int
	for j := range len(b) + 1 {
		row = append(row, j)
	}
	for i := range len(a) {
		next := []int{i + 1}
		for j := range len(b) {
			cost := row[j]
			if a[i] != b[j] {
				cost++
			}
			cost = min(cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, older[j-1]+1)
			}
			next = append(next, cost)
		}
		older, row = row, next
	}
	return row[len(b)]
}
