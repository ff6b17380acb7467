package detect

import (
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"path"
	"strings"
)

// goProgram is where the build puts a Go program.
const goProgram = AppDir + "/main"

func goPlan(dir string) *Plan {
	return &Plan{
		Runtime: Go, Entry: dir, Argv: []string{goProgram},
		Evidence: []string{"go.mod is at the root, and package main in " + quote(dir)},
	}
}

// goModule is rule 5.
func (f *finder) goModule() (*Plan, error) {
	if !f.isFile("go.mod") {
		f.missed("go.mod", "no such file", "a Go module with package main at its root or in cmd/NAME")
		return nil, nil
	}
	mains, err := f.goMains()
	switch {
	case err != nil:
		return nil, err
	case len(mains) > 1:
		return nil, ambiguous("Go programs", mains, "name one: the entry "+mains[0]+", or labels: {ENTRYPOINT: …} in apocryph.yaml")
	case len(mains) == 0:
		f.missed("go.mod", "no package main at the root or in cmd/NAME", "one program")
		return nil, nil
	}
	return goPlan(mains[0]), nil
}

// goMains are the packages that can be the program: the root, else cmd/NAME.
func (f *finder) goMains() ([]string, error) {
	if main, err := f.isMain("."); main || err != nil {
		return []string{"."}, err
	}
	names, err := f.list("cmd")
	if err != nil {
		return nil, err
	}
	var mains []string
	for _, name := range names {
		dir := path.Join("cmd", name)
		// What go build takes for an option, and hides by a dot or an underscore.
		if strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || !printable(name) {
			continue
		}
		main, err := f.isMain(dir)
		if err != nil {
			return nil, err
		}
		if main {
			mains = append(mains, dir)
		}
	}
	return mains, nil
}

// isMain reports whether a directory has a file of package main that is built
// for Linux. Build constraints are looked at as the go command does.
func (f *finder) isMain(dir string) (bool, error) {
	names, err := f.list(dir)
	if err != nil {
		return false, err
	}
	b := build.Context{
		GOOS: "linux", GOARCH: "amd64", Compiler: "gc", ReleaseTags: build.Default.ReleaseTags, JoinPath: path.Join,
		OpenFile: func(name string) (io.ReadCloser, error) {
			src, err := f.head(name, maxHead)
			return io.NopCloser(strings.NewReader(string(src))), err
		},
	}
	for _, name := range names {
		file := path.Join(dir, name)
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !f.isFile(file) {
			continue
		}
		if match, err := b.MatchFile(dir, name); f.read > maxRead {
			return false, errLimits()
		} else if err != nil || !match {
			continue // the build will say what is wrong with it
		}
		src, err := f.head(file, maxHead)
		if err != nil {
			return false, err
		}
		// A clause that cannot be parsed leaves a file without a name.
		if parsed, _ := parser.ParseFile(token.NewFileSet(), name, src, parser.PackageClauseOnly); parsed != nil && parsed.Name != nil && parsed.Name.Name == "main" {
			return true, nil
		}
	}
	return false, nil
}

// goCommand is a command for a Go program, whose first word names what the
// build puts elsewhere.
func (f *finder) goCommand(p *Plan, shell bool) (*Plan, error) {
	g, err := f.goModule()
	if err != nil {
		return nil, err
	}
	if g == nil || shell {
		return nil, invalid("runtime", string(Go)+" with the command "+quote(strings.Join(p.Argv, " ")), "a Go program at the root or in cmd/NAME, and no shell")
	}
	g.Argv = append(g.Argv, p.Argv[1:]...)
	g.Evidence = append(p.Evidence, g.Evidence...)
	return g, nil
}
