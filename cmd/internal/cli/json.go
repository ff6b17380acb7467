package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"apocryph/proto/status"
)

// Emit writes one object on standard output: {"event":EVENT, the fields of
// each of objects}.
func (a *App) Emit(event string, objects ...any) {
	a.PrintJSON(splice(append([]any{map[string]string{"event": event}}, objects...)...))
}

// PrintJSON writes v as one line on standard output.
func (a *App) PrintJSON(v any) {
	fmt.Fprintf(a.Stdout, "%s\n", plain(encode(v)))
}

// Result sets the fields of the last object of --json, {"event":"result",…}.
// It is printed when the command ends, with the error where there is one.
// Without --json it does nothing.
func (a *App) Result(fields any) { a.result = fields }

// ResultNow is [App.Result] for a command that goes on until it is interrupted.
func (a *App) ResultNow(fields any) {
	a.result, a.said = fields, true
	if a.JSON {
		a.Emit("result", fields)
	}
}

// failure is what the last object of --json says of an error.
type failure struct {
	Error failureText `json:"error"`
	Exit  int         `json:"exit"`
}

type failureText struct {
	Code    string         `json:"code"`
	Reason  string         `json:"reason,omitempty"`
	Message string         `json:"message"`
	Hint    string         `json:"hint,omitempty"`
	Faults  []failureFault `json:"faults,omitempty"`
	Log     []string       `json:"log,omitempty"`
}

type failureFault struct {
	Field string `json:"field"`
	Got   string `json:"got,omitempty"`
	Want  string `json:"want,omitempty"`
	Line  int    `json:"line,omitempty"`
}

func failureOf(e *status.Error, exit int) failure {
	f := failure{Exit: exit, Error: failureText{
		Code: e.Code.String(), Reason: e.Reason, Message: oneLine(e.Error()), Hint: e.Hint, Log: e.Log,
	}}
	for _, x := range e.Faults {
		f.Error.Faults = append(f.Error.Faults, failureFault(x))
	}
	return f
}

// splice joins the members of JSON objects, so that their order is kept.
func splice(objects ...any) json.RawMessage {
	var members [][]byte
	for _, o := range objects {
		if o == nil {
			continue
		}
		if b := encode(o); len(b) > len("{}") {
			members = append(members, b[1:len(b)-1])
		}
	}
	return append(append([]byte{'{'}, bytes.Join(members, []byte{','})...), '}')
}

// encode panics on what cannot be JSON, which is a fault of the caller.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("cli: internal error: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// plain escapes the control and format characters beyond ASCII, which JSON
// leaves as they are and terminals obey: the C1 controls and changes of
// direction. Outside its strings JSON has none.
func plain(b []byte) []byte {
	if bytes.IndexFunc(b, obeyed) < 0 {
		return b
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case !obeyed(r):
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return []byte(out.String())
}

// obeyed reports whether a terminal may act on a character instead of showing it.
func obeyed(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
