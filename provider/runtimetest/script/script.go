// Package script is the small command language of the runtime test suite. The
// test image holds a program that executes it for real; the fake runtime
// executes it in memory. What both can do is what the suite asks of a runtime.
//
// A script is an argument list of commands, with ";" between them:
//
//	echo TEXT...      writes a line to standard output
//	err TEXT...       the same to standard error
//	env NAME          writes the value of a variable
//	cat FILE          writes a file
//	write FILE TEXT   makes a file, and the directories above
//	host NAME         writes nothing, fails unless NAME is known as 127.0.0.1
//	exit CODE         ends the program
//	sleep             waits for the request to end, then goes on
//	stubborn          waits, deaf to that request
//
// A command that fails writes why to standard error and ends the program with 1.
package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// World is what commands act on.
type World interface {
	// Print writes a line to "stdout" or "stderr".
	Print(stream, line string)
	Getenv(name string) (string, bool)
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, data []byte) error
	// Lookup is the address of a host name of the pod.
	Lookup(name string) (string, error)
	// Sleep returns true when the program is asked to end. Stubborn programs
	// are not asked.
	Sleep(stubborn bool) bool
}

// Run executes a script and returns the exit code. Other is asked for commands
// that are not in the list above; it reports false for unknown ones.
func Run(w World, argv []string, other func(cmd string, args []string) (error, bool)) int {
	for argv != nil {
		var line []string
		if i := slices.Index(argv, ";"); i >= 0 {
			line, argv = argv[:i], argv[i+1:]
		} else {
			line, argv = argv, nil
		}
		if len(line) == 0 {
			continue
		}
		code, done := command(w, line[0], line[1:], other)
		if done {
			return code
		}
	}
	return 0
}

func command(w World, cmd string, args []string, other func(string, []string) (error, bool)) (code int, done bool) {
	fail := func(err error) (int, bool) {
		w.Print("stderr", cmd+": "+err.Error())
		return 1, true
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch cmd {
	case "echo":
		w.Print("stdout", strings.Join(args, " "))
	case "err":
		w.Print("stderr", strings.Join(args, " "))
	case "env":
		v, ok := w.Getenv(arg(0))
		if !ok {
			return fail(fmt.Errorf("%s is not set", arg(0)))
		}
		w.Print("stdout", v)
	case "cat":
		data, err := w.ReadFile(arg(0))
		if err != nil {
			return fail(err)
		}
		w.Print("stdout", string(data))
	case "write":
		if err := w.WriteFile(arg(0), []byte(arg(1))); err != nil {
			return fail(err)
		}
	case "host":
		if a, err := w.Lookup(arg(0)); err != nil || a != "127.0.0.1" {
			return fail(fmt.Errorf("%s is %q: %v", arg(0), a, err))
		}
	case "exit":
		n, err := strconv.Atoi(arg(0))
		if err != nil {
			return fail(err)
		}
		return n, true
	case "sleep", "stubborn":
		if !w.Sleep(cmd == "stubborn") {
			return 137, true
		}
	default:
		if other != nil {
			if err, known := other(cmd, args); known {
				if err != nil {
					return fail(err)
				}
				return 0, false
			}
		}
		return fail(fmt.Errorf("unknown command"))
	}
	return 0, false
}
