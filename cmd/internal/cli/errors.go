package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"apocryph/proto/status"
)

// PrintError writes an error for people to standard error, and with --json
// also as the last object on standard output.
func (a *App) PrintError(err error) {
	var e *status.Error
	if !errors.As(err, &e) {
		e = status.New(status.CodeOf(err), "", "%v", err)
	}
	text := err.Error()
	fmt.Fprintf(a.Stderr, "%s: error: %s\n", a.Name, text)
	if len(e.Faults) > 1 {
		for _, f := range e.Faults {
			fmt.Fprintf(a.Stderr, "  %s\n", f)
		}
	}
	for _, line := range e.Log {
		fmt.Fprintf(a.Stderr, "  | %s\n", line)
	}
	if e.Hint != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", e.Hint)
	}
	if !a.JSON {
		return
	}
	type fault struct {
		Field string `json:"field"`
		Got   string `json:"got,omitempty"`
		Want  string `json:"want,omitempty"`
		Line  int    `json:"line,omitempty"`
	}
	out := struct {
		Event  string   `json:"event"`
		Code   string   `json:"code"`
		Reason string   `json:"reason,omitempty"`
		Error  string   `json:"error"`
		Hint   string   `json:"hint,omitempty"`
		Faults []fault  `json:"faults,omitempty"`
		Log    []string `json:"log,omitempty"`
		Exit   int      `json:"exit"`
	}{Event: "error", Code: e.Code.String(), Reason: e.Reason, Error: text, Hint: e.Hint, Log: e.Log, Exit: status.ExitCode(err)}
	for _, f := range e.Faults {
		out.Faults = append(out.Faults, fault(f))
	}
	a.PrintJSON(out)
}

// PrintJSON writes v as one line on standard output.
func (a *App) PrintJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("cli: internal error: " + err.Error())
	}
	fmt.Fprintf(a.Stdout, "%s\n", b)
}
