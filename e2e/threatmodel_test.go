package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const threatModel = "../attest/README.md"

// TestThreatModelIsTried holds the threat model to its last column: each row
// that claims a protection names tests, and they exist.
func TestThreatModelIsTried(t *testing.T) {
	rows := tableBelow(t, "## What holds against whom")
	if len(rows) < 20 {
		t.Fatalf("got %d rows, want the whole threat model", len(rows))
	}
	for _, cells := range rows {
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 && !strings.Contains(cells[2], "**nothing") {
			t.Errorf("%q: no test tries it", cells[0])
		}
		for _, n := range names {
			dir, name, _ := strings.Cut(n[1], ".")
			if !testExists(t, dir, name) {
				t.Errorf("%q: %s has no %s", cells[0], dir, name)
			}
		}
	}
}

// TestCodesAreProvoked looks for every code of the threat model in a test: as it
// is, by its reason, or by the name that its package gives it.
func TestCodesAreProvoked(t *testing.T) {
	tests := sources(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	code := sources(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
	for _, cells := range tableBelow(t, "## Codes") {
		id, slug := cells[0], cells[1]
		found := strings.Contains(tests, id) || slug != "" && strings.Contains(tests, `attest.`+slug+`"`)
		for _, m := range regexp.MustCompile(`(\w+)\s*=\s*(?:code\{)?"`+id+`"`).FindAllStringSubmatch(code, -1) {
			found = found || regexp.MustCompile(`\b`+m[1]+`\b`).MatchString(tests)
		}
		if !found {
			t.Errorf("%s: no test names it", id)
		}
	}
}

// sources joins the Go files that take part in an appraisal.
func sources(t *testing.T, wanted func(name string) bool) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../attest/*.go", "../attest/*/*.go", "../publisher/*.go", "../publisher/*/*.go", "../provider/*.go", "*.go", "mesh/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !wanted(f) {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
	}
	return all.String()
}

// tableBelow returns the cells of the table's rows under a heading.
func tableBelow(t *testing.T, heading string) [][]string {
	t.Helper()
	b, err := os.ReadFile(threatModel)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", threatModel, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var rows [][]string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) < 4 || strings.HasPrefix(cells[0], "---") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) > 0 {
		rows = rows[1:]
	}
	return rows
}

func testExists(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "func "+name+"(") {
			return true
		}
	}
	return false
}
