package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// problemSources are the packages whose reasons callers of the API see.
var problemSources = []string{
	"provider/httpapi", "provider/deploy", "provider/auth", "provider/artifacts", "p2p/source", "provider/build", "provider/builds", "provider/buildpod", "manifest/slug", "manifest/detect", "p2p/git", "attest/commit",
	"provider/pull",
	"manifest/direct", "proto/strictjson", "proto/problem",
}

// notAnswered are refusals at the start of a provider, which no caller sees.
var notAnswered = []string{"api.config", "auth.config", "buildpod.config", "git.config", "git.program"}

var (
	reasonOf  = regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	headingOf = regexp.MustCompile("(?m)^### `([^`]+)`\n(.*)$")
)

// reasonsIn collects the reasons in a package's code: the text that looks like
// one among the arguments of what makes an error, and in constants named for it.
func reasonsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", dir, err)
	}
	var found []string
	keep := func(e ast.Expr, prefix string) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && reasonOf.MatchString(prefix+text) {
			found = append(found, prefix+text)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if strings.HasPrefix(strings.ToLower(n.Names[i].Name), "reason") {
						keep(v, "")
					}
				}
			case *ast.CallExpr:
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					if slices.Contains([]string{"New", "Wrap", "Invalid", "err"}, f.Sel.Name) {
						for _, a := range n.Args {
							keep(a, "")
						}
					}
				case *ast.Ident:
					if f.Name == "refuse" && dir == "provider/auth" && len(n.Args) > 0 {
						keep(n.Args[0], "auth.") // its helper writes the first half
					}
				}
			}
			return true
		})
	}
	return found
}

// TestProblemsPage: each reason that the API can answer with is explained, and
// nothing else is.
func TestProblemsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	status := regexp.MustCompile(`^([45]\d\d( or [45]\d\d)?|as answered)\. [A-Z` + "`" + `]`)
	for _, m := range headingOf.FindAllStringSubmatch(string(page), -1) {
		if explained[m[1]] {
			t.Errorf("%s is explained twice", m[1])
		}
		explained[m[1]] = true
		if !status.MatchString(m[2]) {
			t.Errorf("%s does not begin with its status: %q", m[1], m[2])
		}
	}
	used := map[string]bool{}
	for _, dir := range problemSources {
		reasons := reasonsIn(t, dir)
		if len(reasons) == 0 {
			t.Errorf("no reasons found in %s", dir)
		}
		for _, r := range reasons {
			used[r] = true
			if !explained[r] && !slices.Contains(notAnswered, r) {
				t.Errorf("docs/problems.md does not explain %s, of %s", r, dir)
			}
		}
	}
	for r := range explained {
		if !used[r] {
			t.Errorf("docs/problems.md explains %s, which nothing answers", r)
		}
	}
}
