package detect

import (
	"regexp"
	"strings"
)

// procLine is "TYPE: COMMAND".
var procLine = regexp.MustCompile(`^([A-Za-z0-9_-]{1,63}):[ \t]*(.*\S)[ \t]*$`)

// procfile is rule 4.
func (f *finder) procfile() (*Plan, error) {
	const name = "Procfile"
	if f.only == Static || f.only == Dockerfile {
		return nil, nil
	}
	if !f.isFile(name) {
		f.missed(name, "no such file", "a line web: COMMAND")
		return nil, nil
	}
	b, err := f.parsed(name)
	if err != nil {
		return nil, err
	}
	var kind, command string
	seen := map[string]int{}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := procLine.FindStringSubmatch(line)
		switch {
		case m == nil || len(m[2]) > maxCommand || !printable(strings.ReplaceAll(m[2], "\t", " ")):
			return nil, malformed(name, quote(line), "TYPE: COMMAND", i+1)
		case seen[m[1]] != 0:
			return nil, malformed(name, m[1]+" a second time", "it once", i+1)
		}
		if seen[m[1]] = i + 1; kind == "" || m[1] == "web" {
			kind, command = m[1], strings.ReplaceAll(m[2], "\t", " ")
		}
	}
	if kind == "" {
		f.missed(name, "no process in it", "a line web: COMMAND")
		return nil, nil
	}
	p, err := f.commandPlan(name, splitCommand(command))
	if err != nil {
		return nil, err
	}
	which := "the process " + kind
	if kind != "web" {
		which = "the first process, " + kind
		p.Warnings = append(p.Warnings, "Procfile has no web process: "+kind+" is run")
	}
	p.Evidence = append([]string{name + " has " + which}, p.Evidence...)
	return p, nil
}
