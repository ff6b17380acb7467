package detect

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// The bounds of a command: of its words, and of its text in bytes.
const (
	maxWords   = 64
	maxCommand = 4096
)

// plainLine is a command line that means the same with and without a shell.
var plainLine = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./ \t-]*$`)

// splitCommand makes words of a command line. What only a shell understands
// (quotes, variables, pipes) is left to one.
func splitCommand(line string) []string {
	first, _, _ := strings.Cut(line, " ")
	if words := strings.Fields(line); plainLine.MatchString(line) && len(words) <= maxWords && !strings.Contains(first, "=") {
		return words
	}
	return []string{"/bin/sh", "-c", line}
}

// arrayCommand reads a command as a JSON array of words.
func arrayCommand(field, text string) ([]string, error) {
	var argv []string
	if err := json.Unmarshal([]byte(text), &argv); err != nil {
		return nil, invalid(field, quote(text), "a JSON array of words")
	}
	return argv, nil
}

// needsShell warns of a program that is not the first process.
const needsShell = "the command needs a shell: signals reach the program only if it is started with exec"

// commandPlan decides what runtime a command needs.
func (f *finder) commandPlan(field string, argv []string) (*Plan, error) {
	size := 0
	for _, w := range argv {
		if size += len(w); w == "" || !printable(w) {
			return nil, invalid(field, quote(w)+" as a word", "text without control characters")
		}
	}
	if len(argv) == 0 || len(argv) > maxWords || size > maxCommand {
		return nil, invalid(field, fmt.Sprintf("%d words of %d bytes", len(argv), size), fmt.Sprintf("1 to %d words of at most %d bytes", maxWords, maxCommand))
	}
	shell := argv[0] == "/bin/sh" && len(argv) == 3
	program := argv[0]
	if shell {
		program = firstWord(argv[2])
	}
	p := &Plan{Runtime: f.only, Argv: argv, Evidence: []string{"the command is " + quote(strings.Join(argv, " "))}}
	if p.Runtime == "" {
		p.Runtime = f.commandRuntime(program)
	}
	if shell {
		p.Warnings = append(p.Warnings, needsShell)
	}
	switch p.Runtime {
	case "":
		return nil, invalid(field, quote(program), "a program whose runtime is known; name the runtime as well")
	case Static, Dockerfile:
		return nil, invalid("runtime", string(p.Runtime)+" with a command", "no command: the build decides it")
	case Go:
		return f.goCommand(p, shell)
	case Binary:
		name := path.Clean(strings.TrimPrefix(program, AppDir+"/"))
		if !f.isFile(name) {
			return nil, invalid(field, quote(program), "a file of the tree")
		}
		if p.Entry = name; !shell {
			p.Argv[0] = inApp(name)
		}
	}
	return p, nil
}

// firstWord is the program of a shell's command line, behind assignments.
func firstWord(line string) string {
	for _, w := range strings.Fields(line) {
		if !strings.Contains(w, "=") && w != "exec" {
			return w
		}
	}
	return ""
}

// programs that come with the dependencies of a runtime.
var programs = map[string]Runtime{
	"gunicorn": Python, "uvicorn": Python, "hypercorn": Python, "daphne": Python, "waitress-serve": Python, "flask": Python,
	"fastapi": Python, "streamlit": Python, "celery": Python, "pip": Python, "node": Node, "npm": Node, "npx": Node, "yarn": Node, "pnpm": Node,
}

var pythonProgram = regexp.MustCompile(`^python[0-9.]*$`)

// commandRuntime is what a program needs: by its name, as a file of the tree,
// and else by what the tree is.
func (f *finder) commandRuntime(program string) Runtime {
	base := path.Base(program)
	if r := programs[base]; r != "" {
		return r
	}
	if pythonProgram.MatchString(base) {
		return Python
	}
	if name := path.Clean(strings.TrimPrefix(program, AppDir+"/")); f.isFile(name) {
		return Binary
	}
	for _, m := range marks {
		if m.needs && f.isFile(m.file) {
			return m.runtime
		}
	}
	return ""
}
