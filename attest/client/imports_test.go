package client_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports keeps the package something that any program can import.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	check(t, err)
	deps := strings.Fields(string(out))
	// The standard library's net/http alone brings about 150.
	if len(deps) < 100 || len(deps) > 450 {
		t.Errorf("%d packages", len(deps))
	}
	for _, dep := range deps {
		for _, not := range []string{
			"github.com/libp2p/", "github.com/ipfs/boxo", "github.com/ipfs/kubo", "github.com/containerd/", "github.com/spf13/",
			"modernc.org/", "apocryph/p2p", "apocryph/publisher", "apocryph/provider", "apocryph/attest/device", "testing",
		} {
			if strings.HasPrefix(dep, not) {
				t.Errorf("it links %s", dep)
			}
		}
	}
}
