package cli

import (
	"fmt"
	"strings"

	"apocryph/proto/status"
)

// finish says how the command ended: an error for people on standard error,
// and with --json the last object on standard output.
func (a *App) finish(err *status.Error, code int) {
	if err != nil {
		a.printError(err)
	}
	switch {
	case !a.JSON:
	case err != nil:
		a.Emit("result", a.result, failureOf(err, code))
	case a.result != nil && !a.said:
		a.Emit("result", a.result)
	}
}

func (a *App) printError(e *status.Error) {
	fmt.Fprintf(a.Stderr, "%s: error: %s\n", a.Name, Clean(oneLine(e.Error())))
	if len(e.Faults) > 1 {
		for _, f := range e.Faults {
			fmt.Fprintf(a.Stderr, "  %s\n", Clean(f.String()))
		}
	}
	for _, line := range e.Log {
		fmt.Fprintf(a.Stderr, "  | %s\n", Clean(line))
	}
	if e.Hint != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", Clean(oneLine(e.Hint)))
	}
}

// oneLine joins the lines of a text: libraries list several causes below each other.
func oneLine(s string) string {
	var parts []string
	for line := range strings.Lines(s) {
		if line = strings.TrimPrefix(strings.TrimSpace(line), "* "); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}
