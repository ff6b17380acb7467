package detect

import (
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
)

// packageJSON is what is read of a package.json (npm documentation, package.json).
type packageJSON struct {
	Main         string            `json:"main"`
	Scripts      map[string]string `json:"scripts"`
	Dependencies map[string]string `json:"dependencies"`
}

// node is rule 6.
func (f *finder) node() (*Plan, error) {
	const name = "package.json"
	if !f.isFile(name) {
		f.missed(name, "no such file", "scripts.start, main, index.js or server.js")
		return nil, nil
	}
	pkg, err := f.packageJSON()
	if err != nil {
		return nil, err
	}
	if start := strings.TrimSpace(pkg.Scripts["start"]); start != "" {
		return nodeStart(pkg, start), nil
	}
	script := func(file, why string) *Plan {
		return &Plan{Runtime: Node, Entry: file, Argv: []string{"node", inApp(file)}, Evidence: []string{name + " is at the root", why}}
	}
	if pkg.Main != "" {
		at := path.Clean(pkg.Main)
		for _, file := range []string{at, at + ".js", path.Join(at, "index.js")} {
			if printable(file) && f.isFile(file) {
				return script(file, quote(file)+" is its main"), nil
			}
		}
		f.missed(name+": main", quote(pkg.Main)+", which is not there", "a file of the tree")
	}
	for _, file := range []string{"index.js", "server.js"} {
		if f.isFile(file) {
			return script(file, file+" is at the root"), nil
		}
	}
	f.missed(name, "nothing of these", "scripts.start, main, index.js or server.js")
	return nil, nil
}

func (f *finder) packageJSON() (*packageJSON, error) {
	const name = "package.json"
	b, err := f.parsed(name)
	if err != nil {
		return nil, err
	}
	var pkg packageJSON
	if err := json.Unmarshal(b, &pkg); err != nil {
		line := 0
		var at *json.SyntaxError
		if errors.As(err, &at) {
			line = 1 + strings.Count(string(b[:min(int(at.Offset), len(b))]), "\n")
		}
		return nil, malformed(name, "text that is no package.json", "JSON, with scripts, main and dependencies as npm has them", line)
	}
	return &pkg, nil
}

// PackageManager says whether a program is one that runs scripts of package.json, which a
// base image need not have.
func PackageManager(program string) bool {
	return slices.Contains([]string{"npm", "npx", "yarn", "pnpm", "bun"}, program)
}

// nodeStart runs the line of scripts.start as npm would, and without it: the program is
// the first process and gets the signals, and a base need not have npm. Its commands
// are those of the dependencies. What npm does beside that is left to it.
func nodeStart(pkg *packageJSON, start string) *Plan {
	p := &Plan{Runtime: Node, Argv: []string{"npm", "start"}, Evidence: []string{"package.json has scripts.start: " + quote(start)}}
	if pkg.Scripts["prestart"] != "" || pkg.Scripts["poststart"] != "" || !printable(start) || len(start) > maxCommand || PackageManager(firstWord(start)) {
		return p
	}
	argv := splitCommand(start)
	switch {
	case argv[0] == "node" && len(argv) == 1:
		return p
	case argv[0] == "/bin/sh" && len(argv) == 3 && firstWord(start) != "/bin/sh":
		p.Warnings = []string{needsShell}
	}
	p.Argv = argv
	return p
}
