package pull_test

import (
	"go/build"
	"slices"
	"testing"
)

// TestG10OnePipeline: a sync deploys by the orchestrator of every other front door.
// The core, which takes orders, is out of its reach.
func TestG10OnePipeline(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pkg.Imports, "apocryph/provider/deploy") || slices.Contains(pkg.Imports, "apocryph/provider") {
		t.Errorf("it imports %q", pkg.Imports)
	}
}
