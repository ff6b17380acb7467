package detect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// marks are files that say of what runtime a tree is.
var marks = []struct {
	file    string
	runtime Runtime
	needs   bool // a command without a known program is of this runtime
}{
	{"requirements.txt", Python, true},
	{"pyproject.toml", Python, true},
	{"setup.py", Python, true},
	{"Pipfile", Python, true},
	{"package.json", Node, true},
	{"go.mod", Go, true},
	{"Dockerfile", Dockerfile, false},
	{"Containerfile", Dockerfile, false},
}

// locks are the files that pin the packages of a runtime.
var locks = map[Runtime][]string{
	Python: {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock"},
	Node:   {"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"},
}

// warn adds what will surprise: other ways to build the tree that are not
// taken, and packages that are not pinned, so that two builds can differ.
func (f *finder) warn(p *Plan) error {
	var other []Runtime
	for _, m := range marks {
		if m.runtime != p.Runtime && !slices.Contains(other, m.runtime) && f.isFile(m.file) {
			other = append(other, m.runtime)
			f.warnings = append(f.warnings, fmt.Sprintf("%s is there too and does not decide: the runtime %s would use it", m.file, m.runtime))
		}
	}
	switch p.Runtime {
	case Python:
		return f.warnPython()
	case Node:
		return f.warnNode()
	case Go:
		return f.warnGo()
	}
	return nil
}

func (f *finder) locked(r Runtime) bool { return slices.ContainsFunc(locks[r], f.isFile) }

func (f *finder) warnPython() error {
	if f.isFile("requirements.txt") {
		b, err := f.parsed("requirements.txt")
		if err != nil {
			return err
		}
		if !bytes.Contains(b, []byte("--hash=")) && len(bytes.TrimSpace(b)) > 0 {
			f.warnings = append(f.warnings, "requirements.txt has no hashes: two builds may install different packages")
		}
		return nil
	}
	if !f.isFile("pyproject.toml") || f.locked(Python) {
		return nil
	}
	b, err := f.parsed("pyproject.toml")
	if err != nil {
		return err
	}
	if n, err := dependencies(b); err != nil {
		f.warnings = append(f.warnings, "pyproject.toml cannot be read: its dependencies are not known")
	} else if n > 0 {
		f.warnings = append(f.warnings, fmt.Sprintf("pyproject.toml has %d dependencies and there is no lock: two builds may install different packages", n))
	}
	return nil
}

// dependencies counts [project] dependencies.
func dependencies(b []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, errors.New("text that the TOML parser cannot read")
		}
	}()
	var doc struct {
		Project struct {
			Dependencies []string `toml:"dependencies"`
		} `toml:"project"`
	}
	err = toml.Unmarshal(b, &doc)
	return len(doc.Project.Dependencies), err
}

func (f *finder) warnNode() error {
	if !f.isFile("package.json") || f.locked(Node) {
		return nil
	}
	pkg, err := f.packageJSON()
	if err != nil {
		return err
	}
	if n := len(pkg.Dependencies); n > 0 {
		f.warnings = append(f.warnings, fmt.Sprintf("package.json has %d dependencies and there is no lock: two builds may install different packages", n))
	}
	return nil
}

func (f *finder) warnGo() error {
	b, err := f.parsed("go.mod")
	if err != nil {
		return err
	}
	if bytes.Contains(b, []byte("\nrequire")) && !f.isFile("go.sum") {
		f.warnings = append(f.warnings, "go.mod has requirements and there is no go.sum: the build cannot verify them")
	}
	return nil
}
