package e2e

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "apocryph"

// layers is the law of the tree: a package imports strictly lower layers.
var layers = map[string]int{
	"proto/statuspb": 0, "proto/capacitypb": 0, "proto/attestpb": 0, "proto/podpb": 0,
	"proto/discoverypb": 0, "proto/contentpb": 0,
	"proto/nearest": 0, "proto/strictjson": 2, "manifest/direct": 3,
	"proto/status":  1,
	"proto/problem": 2, "attest/tpmtemplate": 2,
	"manifest": 2, "attest": 2, "attest/bootlog": 2,
	"manifest/internal/strictyaml": 1, "attest/device/keyfile": 2, "p2p/lifecycle": 1,
	"attest/verify/p384": 1,
	"manifest/offer":     3,
	"attest/verify":      3, "attest/policy": 3, "attest/keyrelease": 3,
	"attest/device/tpm": 3, "attest/device/soft": 3, "attest/device/tsm": 3, "attest/device/collateral": 3,
	"attest/attesttest": 4, "attest/receipt": 3, "attest/podlog": 3, "attest/tlog": 3,
	"attest/client": 4,
	"p2p":           3,
	"p2p/rpc":       4, "p2p/discovery": 5, "p2p/oci": 4, "p2p/content": 4, "p2p/p2ptest": 5,
	"p2p/ipdr": 5, "p2p/mutual": 5, "p2p/seal": 5,
	"p2p/source": 4, "provider": 6, "publisher": 6, "provider/containerd/attendant": 1, "provider/containerd/attendant/apocryph-attendant": 2,
	"provider/auth": 6, "provider/keyed": 1, "provider/follow": 1, "p2p/public": 1, "provider/pull": 9,
	"provider/artifacts": 6,
	"provider/inventory": 7, "provider/containerd": 7, "provider/runtimetest": 7, "provider/providertest": 2, "provider/images": 7,
	"provider/store": 7, "provider/ingress": 7, "provider/vault": 7, "provider/peerapi": 7, "provider/deploy": 8, "provider/httpapi": 10,
	"provider/builds": 7, "manifest/slug": 3, "manifest/detect": 3, "manifest/dockerfile": 3, "attest/commit": 2, "attest/provenance": 3, "attest/dsse": 1, "attest/provenance/sbom": 3, "p2p/git": 5, "p2p/git/gittest": 5,
	"provider/measure": 7, "provider/certs": 7, "provider/certs/acmetest": 1,
	"provider/buildpod": 7,
	"provider/build":    6, "provider/build/static": 1, "provider/build/static/apocryph-static": 2,
	"publisher/images": 7, "publisher/state": 7, "publisher/peerclient": 7, "publisher/httpclient": 7,
	"provider/providerd": 11, "publisher/publisherd": 8,
	"cmd/internal/cli": 11,
	"cmd/provider":     12, "cmd/publisher": 12, "e2e/sample": 12, "e2e/debian/layout": 12, "e2e/bench": 13, "e2e/sample/app": 12, "provider/runtimetest/probe": 7, "provider/runtimetest/script": 1,
	"e2e": 11, "e2e/harness": 10, "e2e/mesh": 11,
}

// homes lists heavy dependencies and the packages that may import them.
var homes = map[string][]string{
	"github.com/ipfs/boxo":                   {"p2p/content", "p2p/ipdr"},
	"github.com/ipfs/go-ds-flatfs":           {"p2p/content"},
	"github.com/libp2p/go-libp2p-kad-dht":    {"p2p"},
	"github.com/containerd":                  {"provider/containerd", "provider/containerd/attendant"},
	"github.com/vishvananda/netlink":         {"provider/containerd"},
	"github.com/google/nftables":             {"provider/containerd"},
	"github.com/containers/ocicrypt":         {"p2p/seal", "provider/containerd"},
	"github.com/google/go-containerregistry": {"p2p/oci"},
	"github.com/google/go-tpm":               {"attest/device/tpm", "attest/verify", "attest/tpmtemplate"},
	"github.com/google/go-sev-guest":         {"attest/verify", "attest/device/soft", "attest/device/tsm"},
	"github.com/google/go-configfs-tsm":      {"attest/device/tsm"},
	"github.com/google/go-tdx-guest":         {"attest/verify"},
	"github.com/cloudflare/circl":            {"attest/verify/p384"},
	"golang.org/x/crypto/acme":               {"provider/certs"},
	"github.com/go-jose/go-jose/v4":          {"provider/auth"},
	"github.com/pjbgf/sha1cd":                {"attest/commit"},
	"github.com/ProtonMail/go-crypto":        {"attest/commit"},
	"github.com/CycloneDX/cyclonedx-go":      {"attest/provenance/sbom"},
	"filippo.io/age":                         {"provider/artifacts"},
	"modernc.org/sqlite":                     {"provider/store"},
	"golang.org/x/crypto/x509roots":          {"provider/build"},
	"github.com/spf13/cobra":                 {"cmd/internal/cli", "cmd/provider", "cmd/publisher"},
	"github.com/vbauerster/mpb/v8":           {"cmd/internal/cli"},
	"github.com/moby/buildkit":               {"manifest/dockerfile"},
	"google.golang.org/protobuf":             {"proto/", "p2p/rpc", "p2p/discovery", "p2p/content", "provider/peerapi", "publisher/peerclient", "manifest", "manifest/offer", "attest"},
	"apocryph/proto/podpb":                   {"proto/", "p2p/rpc", "provider/peerapi", "publisher/peerclient", "manifest"},
	"apocryph/proto/attestpb":                {"proto/", "p2p/rpc", "p2p/mutual", "provider/peerapi", "publisher/peerclient", "attest"},
	"apocryph/proto/capacitypb":              {"proto/", "p2p/rpc", "p2p/discovery", "provider/peerapi", "publisher/peerclient", "manifest/offer"},
}

// pure packages do no I/O: they are functions of their arguments.
var pure = []string{
	"proto/status", "manifest", "manifest/offer", "attest", "attest/verify", "attest/policy",
	"attest/keyrelease", "attest/tpmtemplate", "attest/receipt", "attest/bootlog", "attest/podlog", "attest/tlog", "attest/dsse", "attest/provenance", "attest/provenance/sbom", "manifest/internal/strictyaml", "attest/verify/p384",
	"proto/nearest", "proto/strictjson", "manifest/direct", "manifest/slug", "manifest/detect", "manifest/dockerfile", "attest/commit",
}

var impure = []string{"net", "os", "log/slog", "log", "os/exec", "net/http", "math/rand"}

type listed struct {
	ImportPath                         string
	Dir, Name, Doc                     string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

var packages = sync.OnceValues(func() ([]listed, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func list(t *testing.T) []listed {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func rel(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func TestLayering(t *testing.T) {
	for _, p := range list(t) {
		name := rel(p.ImportPath)
		layer, ok := layers[name]
		if !ok {
			t.Errorf("%s has no layer: give it one in layers, and a line in the README's map", name)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			below, ok := layers[rel(imp)]
			generated := strings.HasSuffix(imp, "pb") && strings.HasSuffix(name, "pb")
			if ok && below >= layer && !generated {
				t.Errorf("%s (layer %d) imports %s (layer %d): imports go strictly down", name, layer, rel(imp), below)
			}
			if forTests(rel(imp)) && !forTests(name) {
				t.Errorf("%s imports %s, which is for tests only", name, rel(imp))
			}
		}
	}
}

// forTests reports whether a package exists for tests alone.
func forTests(name string) bool {
	return strings.HasPrefix(name, "e2e") || strings.HasPrefix(name, "provider/runtimetest") || name == "provider/providertest" || name == "p2p/p2ptest" || name == "p2p/git/gittest" || name == "attest/attesttest"
}

func TestOneDependencyOneHome(t *testing.T) {
	for _, p := range list(t) {
		name := rel(p.ImportPath)
		if forTests(name) {
			continue
		}
		for _, imp := range p.Imports {
			for dep, allowed := range homes {
				if imp != dep && !strings.HasPrefix(imp, dep+"/") {
					continue
				}
				at := func(home string) bool {
					return name == home || strings.HasSuffix(home, "/") && strings.HasPrefix(name, home)
				}
				if !slices.ContainsFunc(allowed, at) {
					t.Errorf("%s imports %s, whose home is %s", name, imp, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, p := range list(t) {
		if !slices.Contains(pure, rel(p.ImportPath)) {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(impure, imp) {
				t.Errorf("%s is pure and imports %s", rel(p.ImportPath), imp)
			}
		}
	}
}

func TestRolesApart(t *testing.T) {
	for _, p := range list(t) {
		name := rel(p.ImportPath)
		for _, imp := range p.Imports {
			to := rel(imp)
			if strings.HasPrefix(name, "publisher") && (to == "provider" || strings.HasPrefix(to, "provider/")) ||
				strings.HasPrefix(name, "provider") && (to == "publisher" || strings.HasPrefix(to, "publisher/")) {
				t.Errorf("%s imports %s: the two roles share only what lies below both", name, to)
			}
		}
	}
}

// TestPublisherLinksNoContainerd keeps the publisher small and portable.
func TestPublisherLinksNoContainerd(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/publisher")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		for _, not := range []string{"github.com/containerd/containerd", "github.com/containerd/imgcrypt", "modernc.org/sqlite", "github.com/vishvananda"} {
			if strings.HasPrefix(dep, not) {
				t.Errorf("the publisher links %s", strings.TrimSpace(dep))
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 || strings.HasSuffix(p.Name, "pb") {
			continue
		}
		if len(p.Doc) < 20 {
			t.Errorf("%s has no package comment", rel(p.ImportPath))
		}
		if _, err := os.Stat(filepath.Join(p.Dir, "doc.go")); err != nil && p.Name != "main" && len(p.GoFiles) > 1 {
			t.Errorf("%s has no doc.go", rel(p.ImportPath))
		}
	}
}
