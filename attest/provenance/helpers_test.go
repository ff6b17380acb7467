package provenance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"
	"time"

	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// key is the same in every run, for the golden file.
var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func public() ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// object is a commit object, whose id git says.
const (
	object = "tree 9bedf67800b2923982bdf60c89c57ce6fd2d9a1c\n" +
		"author Ann <ann@example.org> 1763719200 +0000\n" +
		"committer Ann <ann@example.org> 1763719200 +0000\n" +
		"\n" +
		"a page\n"
	gitSays = "6b073e8ed4be07c8800c5ad19dbd1f1b9774eb91"
	tree    = "9bedf67800b2923982bdf60c89c57ce6fd2d9a1c"
)

func digest(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }

func hexOf(s string) string { return digest(s)[len("sha256:"):] }

func sample() Build {
	at := time.Date(2026, 11, 21, 10, 0, 0, 120e6, time.UTC)
	return Build{
		ID: "6e3f1f6e-2c1b-4c7e-9a51-0f6b0c3a7d11", Builder: BuilderOf("12D3KooWExample"),
		Source: &Source{
			Repository: "https://github.com/o/r", Ref: "main", Branch: "refs/heads/main", Path: "site",
			Commit: gitSays, Tree: tree, Object: []byte(object), Signer: "SHA256:x", Method: "archive",
		},
		Runtime: "static", Parameters: map[string]string{"b": "2\nlines", "a": "<1>"}, Argv: []string{"/serve", "/app"},
		Materials: []Material{
			{"base", "oci:static@sha256:00", map[string]string{"sha256": hexOf("base")}},
			{"left-pad", "pkg:npm/left-pad@1.0.0", map[string]string{"sha512": hexOf("a") + hexOf("b")}},
		},
		ImageID: digest("config"), Image: digest("manifest"), Binary: digest("binary"), SBOM: digest("sbom"),
		Started: at, Finished: at.Add(1500 * time.Millisecond),
	}
}

func encoded(t testing.TB, b Build) []byte {
	t.Helper()
	payload, err := Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func signed(t testing.TB, b Build) []byte {
	t.Helper()
	envelope, err := Sign(encoded(t, b), key)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}
