package build

import (
	"fmt"
	"strings"
	"testing"

	"apocryph/proto/status"
)

// TestLocksThatCost: graphs and lists that a stranger made to be slow are refused, after
// work that has a bound; without it each takes hours.
func TestLocksThatCost(t *testing.T) {
	tests := map[string]struct {
		parse func([]byte) ([]requirement, error)
		text  func() string
	}{
		"many ways to many packages": {parseUVLock, tangledUV},
		"many packages of a name":    {parseUVLock, crowdedUV},
		"a package again and again": {parsePoetryLock, func() string {
			var b strings.Builder
			b.WriteString("[metadata]\nlock-version = \"2.1\"\n")
			for i := range 150_000 {
				fmt.Fprintf(&b, "[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"main\"]\nmarkers = \"os_name == '%06d'\"\n", i)
			}
			return b.String()
		}},
		"names that are one": {parsePipfileLock, func() string {
			var b strings.Builder
			b.WriteString(`{"_meta": {"pipfile-spec": 6}, "default": {`)
			for i := range 1 << 17 {
				name := strings.NewReplacer("0", "a", "1", "A").Replace(fmt.Sprintf("%017b", i))
				fmt.Fprintf(&b, "%q: {\"version\": \"==1\", \"markers\": \"os_name == '%06d'\"},\n", name, i)
			}
			b.WriteString(`"last": {}}}`)
			return b.String()
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := []byte(tt.text())
			if len(text) > maxLock {
				t.Fatalf("%d bytes are more than are read", len(text))
			}
			_, err := tt.parse(text)
			if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "build.lock" {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

// tangledUV leads to one package by 60 ways of 14 markers each, which differ in the last,
// and from there to many.
func tangledUV() string {
	const common, last, leaves = 13, 60, 20_000
	prefix := strings.Repeat("x", 3000)
	var b strings.Builder
	b.WriteString("version = 1\n")
	node := func(name, source string, dependencies ...string) {
		fmt.Fprintf(&b, "[[package]]\nname = %q\nversion = \"1\"\nsource = {%s}\ndependencies = [%s]\n", name, source, strings.Join(dependencies, ","))
	}
	index := `registry = "https://index.example/simple"`
	to := func(name, marker string) string {
		return fmt.Sprintf("{name = %q, marker = \"os_name == '%s%s'\"}", name, prefix, marker)
	}
	node("root", `virtual = "."`, to("c01", "a01"))
	for i := 1; i < common; i++ {
		node(fmt.Sprintf("c%02d", i), index, to(fmt.Sprintf("c%02d", i+1), fmt.Sprintf("a%02d", i+1)))
	}
	var all []string
	for i := range last {
		all = append(all, to(fmt.Sprintf("d%02d", i), fmt.Sprintf("b%02d", i)))
	}
	node(fmt.Sprintf("c%02d", common), index, all...)
	for i := range last {
		node(fmt.Sprintf("d%02d", i), index, `{name = "hub"}`)
	}
	all = nil
	for i := range leaves {
		all = append(all, fmt.Sprintf("{name = \"l%05d\"}", i))
	}
	node("hub", index, all...)
	for i := range leaves {
		fmt.Fprintf(&b, "[[package]]\nname = \"l%05d\"\nversion = \"1\"\nsource = {%s}\n", i, index)
	}
	return b.String()
}

// crowdedUV has many versions of one package, and many dependencies on one that is not there.
func crowdedUV() string {
	const n = 100_000
	var b strings.Builder
	b.WriteString("version = 1\n[[package]]\nname = \"root\"\nversion = \"1\"\nsource = {virtual = \".\"}\ndependencies = [")
	for range n {
		b.WriteString(`{name = "a", version = "000000"},`)
	}
	b.WriteString("]\n")
	for i := range n {
		fmt.Fprintf(&b, "[[package]]\nname = \"a\"\nversion = \"%06d\"\n", i+1)
	}
	return b.String()
}
