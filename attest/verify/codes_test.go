package verify

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCodesAreDocumented holds the table in the threat model against the codes
// that this package gives.
func TestCodesAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (ATT-\d{3}) \| ([a-z0-9_]*) \| ([VP ]+) \|`).FindAllStringSubmatch(string(readme), -1)
	documented := make(map[string]string)
	for _, row := range rows {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = row[2]
		if strings.Contains(row[3], "V") != strings.Contains(string(source), `"`+row[1]+`"`) {
			t.Errorf("%s: documented as given by %q", row[1], row[3])
		}
	}
	codes := regexp.MustCompile(`code\{"(ATT-\d{3})", "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 20 {
		t.Fatalf("got %d codes, want all", len(codes))
	}
	for _, c := range codes {
		if slug, ok := documented[c[1]]; !ok || slug != c[2] {
			t.Errorf("%s %s: documented as %q", c[1], c[2], slug)
		}
	}
}
