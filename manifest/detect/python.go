package detect

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var dotted = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// keywords cannot be names of modules (Python reference, 2.3.1).
var keywords = strings.Fields(`False None True and as assert async await break class continue def del elif else except
	finally for from global if import in is lambda nonlocal not or pass raise return try while with yield`)

// notPrograms are directories whose packages are not what is to be run.
var notPrograms = []string{
	"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmarks", "scripts", "tools",
	"venv", "env", "virtualenv", "node_modules", "vendor", "site_packages", "build", "dist", "__pycache__",
}

// isModule reports whether s is a dotted name that Python can import. Only
// ASCII: what is shown is what is run.
func isModule(s string) bool {
	if len(s) > 200 || !dotted.MatchString(s) {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if slices.Contains(keywords, part) {
			return false
		}
	}
	return true
}

const pythonPath = "PYTHONPATH=" + AppDir + "/src"

// python is rule 3.
func (f *finder) python() (*Plan, error) {
	for _, name := range []string{"__main__.py", "main.py"} {
		if !f.isFile(name) {
			f.missed(name, "no such file", "a Python script at the root")
			continue
		}
		p := &Plan{
			Runtime: Python, Entry: name, Argv: []string{"python", inApp(name)},
			Evidence: []string{name + " is a Python script at the root"},
		}
		if name == "__main__.py" && f.isFile("main.py") {
			p.Warnings = append(p.Warnings, "main.py is at the root too: __main__.py comes first")
		}
		return p, nil
	}
	if p, err := f.pyproject(); p != nil || err != nil {
		return p, err
	}
	for _, dir := range []string{".", "src"} {
		found, err := f.packages(dir)
		switch {
		case err != nil:
			return nil, err
		case len(found) > 1:
			return nil, ambiguous("Python packages", found, "name one: the entry "+found[0]+", or labels: {ENTRYPOINT: …} in apocryph.yaml")
		case len(found) == 1:
			return f.pythonFile(found[0]), nil
		}
		f.missed(path.Join(dir, "PACKAGE/__main__.py"), "none", "a package that python -m runs")
	}
	return nil, nil
}

// packages returns the PACKAGE/__main__.py of a directory.
func (f *finder) packages(dir string) ([]string, error) {
	names, err := f.list(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		main := path.Join(dir, name, "__main__.py")
		if !strings.Contains(name, ".") && isModule(name) && !slices.Contains(notPrograms, name) && f.isFile(main) {
			found = append(found, main)
		}
	}
	return found, nil
}

// pythonFile runs a script: as a package if it is the __main__.py of one.
func (f *finder) pythonFile(name string) *Plan {
	p := &Plan{Runtime: Python, Entry: name}
	dir, base := path.Split(name)
	if module := strings.ReplaceAll(strings.TrimSuffix(dir, "/"), "/", "."); base == "__main__.py" && module != "" {
		if after, ok := strings.CutPrefix(module, "src."); ok && isModule(after) && !f.isFile("src/__init__.py") {
			module = after
			p.Env = []string{pythonPath}
		}
		if isModule(module) {
			p.Argv = []string{"python", "-m", module}
			p.Evidence = []string{fmt.Sprintf("%s makes %s a package that python -m runs", name, module)}
			return p
		}
		p.Env = nil
	}
	p.Argv = []string{"python", inApp(name)}
	p.Evidence = []string{quote(name) + " is a Python script"}
	return p
}

// module tells where a module is, and what Python needs to find it there.
func (f *finder) module(name string) (file string, env []string) {
	at := strings.ReplaceAll(name, ".", "/")
	for _, dir := range []string{"", "src"} {
		for _, form := range []string{at + ".py", at + "/__init__.py", at + "/__main__.py"} {
			if file = path.Join(dir, form); f.isFile(file) {
				if dir != "" {
					env = []string{pythonPath}
				}
				return file, env
			}
		}
	}
	return "", nil
}

// call runs a function of a module, as the console scripts do that pip writes
// (PyPA entry points specification). Both names are identifiers: they become
// part of a program.
func (f *finder) call(module, object string) *Plan {
	first, _, _ := strings.Cut(object, ".")
	p := &Plan{Runtime: Python, Argv: []string{
		"python", "-c", fmt.Sprintf("import sys; from %s import %s; sys.exit(%s())", module, first, object),
	}}
	p.Entry, p.Env = f.module(module)
	if p.Entry == "" {
		p.Warnings = []string{"the module " + module + " is neither in the tree nor in src: it must come with a dependency"}
	}
	return p
}
