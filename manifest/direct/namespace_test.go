package direct_test

import (
	"strings"
	"testing"

	"apocryph/manifest/direct"
)

func TestNamespaces(t *testing.T) {
	long := strings.Repeat("a", direct.MaxNamespace)
	for name, want := range map[string]bool{
		"shop": true, "a": true, "7": true, "shop.main": true, "a.b.c": true, "a-b.c--d": true, long: true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "-a": false, "a-": false, "a.-b": false, "a-.b": false,
		"A": false, "a_b": false, "a/b": false, "a:b": false, "*": false, "a b": false, "ü": false, "a\n": false, "a\x00": false,
		long + "a": false, long[:60] + ".abc": false,
	} {
		if got := direct.IsNamespace(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
