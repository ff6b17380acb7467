package detect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path"
	"strings"
)

// entry is rule 1, and what the label of rule 2 says. field names where the
// text comes from.
func (f *finder) entry(field, text string) (*Plan, error) {
	if len(text) > maxCommand || !printable(text) {
		return nil, invalid(field, quote(text), "printable text of a few hundred characters")
	}
	if text != AppDir && !strings.HasPrefix(text, AppDir+"/") && path.IsAbs(text) {
		return nil, invalid(field, quote(text), "a path in the tree, or below "+AppDir)
	}
	name := path.Clean(strings.TrimPrefix(strings.TrimPrefix(text+"/", AppDir+"/"), "/"))
	p, err := f.entryOf(field, text, name)
	if err != nil {
		return nil, err
	}
	if !f.allowed(p.Runtime) {
		return nil, invalid(field, quote(text)+", which is "+string(p.Runtime), "something of the runtime "+string(f.only))
	}
	p.Evidence = append([]string{"the " + field + " is " + quote(text)}, p.Evidence...)
	return p, nil
}

func (f *finder) entryOf(field, text, name string) (*Plan, error) {
	switch {
	case f.isDir(name):
		return f.entryDir(field, name)
	case f.isFile(name):
		return f.entryFile(field, name)
	case strings.HasPrefix(text, "["):
		argv, err := arrayCommand(field, text)
		if err != nil {
			return nil, err
		}
		return f.commandPlan(field, argv)
	case strings.Contains(text, " "):
		return f.commandPlan(field, splitCommand(text))
	}
	module, object, called := strings.Cut(text, ":")
	file, env := "", []string(nil)
	if isModule(module) && (!called || isModule(object)) {
		file, env = f.module(module)
	}
	switch {
	case file == "":
		return nil, invalid(field, quote(text), "a file or directory of the tree, MODULE:FUNCTION of Python, or a command")
	case called:
		p := f.call(module, object)
		p.Evidence = []string{file + " has the function " + object}
		return p, nil
	}
	return &Plan{
		Runtime: Python, Entry: file, Argv: []string{"python", "-m", module}, Env: env,
		Evidence: []string{file + " is a Python module"},
	}, nil
}

// kindOfName is the runtime of a script by its name, or "".
func kindOfName(name string) Runtime {
	switch path.Ext(name) {
	case ".py":
		return Python
	case ".js", ".mjs", ".cjs":
		return Node
	}
	return ""
}

// entryFile runs a file by its kind. The name decides before the contents, and
// the runtime of the caller before both.
func (f *finder) entryFile(field, name string) (*Plan, error) {
	base := path.Base(name)
	kind := kindOfName(base)
	isDockerfile := base == "Dockerfile" || base == "Containerfile" || strings.HasPrefix(base, "Dockerfile.") || strings.HasSuffix(base, ".Dockerfile")
	if kind == "" && (f.only == Python || f.only == Node) {
		kind = f.only
	}
	switch {
	case kind == Python:
		return f.pythonFile(name), nil
	case kind == Node:
		return &Plan{
			Runtime: Node, Entry: name, Argv: []string{"node", inApp(name)}, Evidence: []string{quote(name) + " is a JavaScript file"},
		}, nil
	case isDockerfile || f.only == Dockerfile:
		return &Plan{Runtime: Dockerfile, Entry: name, Evidence: []string{quote(name) + " is a Dockerfile"}}, nil
	case path.Ext(base) == ".go":
		return f.entryDir(field, path.Dir(name))
	}
	p, why, err := f.executable(name)
	if err == nil && p == nil {
		err = invalid(field, quote(name)+", which is "+why, "a .py, .js, .mjs or .cjs file, an executable of Linux, a Dockerfile or a directory")
	}
	return p, err
}

// entryDir runs a directory: a Python package, a Go program or a static site.
func (f *finder) entryDir(field, name string) (*Plan, error) {
	if f.allowed(Python) && f.isFile(path.Join(name, "__main__.py")) {
		return f.pythonFile(path.Join(name, "__main__.py")), nil
	}
	if f.allowed(Go) && f.isFile("go.mod") {
		main, err := f.isMain(name)
		if err != nil {
			return nil, err
		}
		if main {
			return goPlan(name), nil
		}
	}
	if !f.allowed(Static) {
		return nil, invalid(field, quote(name), "a directory with a program of the runtime "+string(f.only))
	}
	p := &Plan{Runtime: Static, Entry: name, Evidence: []string{quote(name) + " is a directory: a static site"}}
	if !f.isFile(path.Join(name, "index.html")) {
		p.Warnings = []string{quote(name) + " has no index.html: its root is not found"}
	}
	return p, nil
}

// executable looks at a file that may be a program. Where it is none, why says
// what it is.
func (f *finder) executable(name string) (p *Plan, why string, err error) {
	info := f.stat(name)
	if info == nil || !info.Mode().IsRegular() {
		return nil, "no file", nil
	}
	b, err := f.head(name, maxHead)
	if err != nil {
		return nil, "", err
	}
	p = &Plan{Runtime: Binary, Entry: name, Argv: []string{inApp(name)}}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	switch {
	case bytes.HasPrefix(b, []byte(elf.ELFMAG)):
		machine, why := elfOf(b)
		if why != "" {
			return nil, why, nil
		}
		p.Evidence = []string{quote(name) + " is an executable of Linux for " + machine}
	case bytes.HasPrefix(line, []byte("#!")):
		interpreter := string(bytes.TrimSpace(line[2:]))
		if interpreter == "" || !printable(interpreter) {
			return nil, `a script without an interpreter behind "#!"`, nil
		}
		p.Evidence = []string{quote(name) + " is a script for " + quote(interpreter)}
		fields := strings.Fields(interpreter)
		program := path.Base(fields[0])
		if program == "env" && len(fields) > 1 {
			program = fields[len(fields)-1]
		}
		if r := programs[program]; r != "" || pythonProgram.MatchString(program) {
			p.Runtime, p.Argv = Python, []string{"python", inApp(name)}
			if r == Node {
				p.Runtime, p.Argv = Node, []string{"node", inApp(name)}
			}
			return p, "", nil
		}
	default:
		return nil, `neither an ELF file nor a script with "#!"`, nil
	}
	if info.Mode()&0o111 == 0 {
		return nil, "not executable (chmod +x)", nil
	}
	return p, "", nil
}

// elfOf tells the machine of an ELF header (System V ABI, 4), or why it is none
// that runs on a provider: 64 bits, little-endian, Linux, executable.
func elfOf(b []byte) (machine, why string) {
	if len(b) < 20 || elf.Class(b[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(b[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return "", "an ELF file that is not of 64 bits, little-endian"
	}
	if abi := elf.OSABI(b[elf.EI_OSABI]); abi != elf.ELFOSABI_NONE && abi != elf.ELFOSABI_LINUX {
		return "", "an ELF file of another system than Linux"
	}
	if t := elf.Type(binary.LittleEndian.Uint16(b[16:])); t != elf.ET_EXEC && t != elf.ET_DYN {
		return "", "an ELF file that is no program"
	}
	switch elf.Machine(binary.LittleEndian.Uint16(b[18:])) {
	case elf.EM_X86_64:
		return "amd64", ""
	case elf.EM_AARCH64:
		return "arm64", ""
	}
	return "", "an ELF file of a machine that is neither amd64 nor arm64"
}
