package provenance

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/dsse"
	"apocryph/proto/status"
)

func TestAnotherKey(t *testing.T) {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	_, err := Verify(signed(t, sample()), other)
	refused(t, err, status.Untrusted, "provenance.signature")
	if _, err := Verify(signed(t, sample()), nil); err == nil {
		t.Error("it opens without a key")
	}
}

func TestOpenRefuses(t *testing.T) {
	good := string(signed(t, sample()))
	for name, tt := range map[string]struct{ b, reason string }{
		"nothing":   {"", "provenance.parse"},
		"unsigned":  {strings.Replace(good, `"signatures":[{`, `"signatures":[],"x":[{`, 1), "provenance.parse"},
		"too large": {good + strings.Repeat(" ", MaxEnvelope), "provenance.too_large"},
	} {
		_, _, err := Open([]byte(tt.b), public())
		t.Run(name, func(t *testing.T) { refused(t, err, status.InvalidArgument, tt.reason) })
		if _, err := Statement([]byte(tt.b)); err == nil {
			t.Errorf("%s: it has a statement", name)
		}
	}
	nonsense, err := dsse.Seal(dsse.InToto, []byte("{}"), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(nonsense, public()); err == nil {
		t.Error("signed nonsense opens")
	}
}

// TestEveryByte flips a bit of every byte of an envelope: nothing opens then.
func TestEveryByte(t *testing.T) {
	b := signed(t, sample())
	for i := range b {
		b[i] ^= 1 << (i % 8)
		if _, err := Verify(b, public()); err == nil {
			t.Fatalf("byte %d is changed, and it opens", i)
		}
		b[i] ^= 1 << (i % 8)
	}
	if _, err := Verify(b, public()); err != nil {
		t.Fatal(err)
	}
	if p, err := Statement(b); err != nil || !bytes.Equal(p, encoded(t, sample())) {
		t.Errorf("%s, %v", p, err)
	}
}

func TestFacts(t *testing.T) {
	b := sample()
	b.Materials = append(b.Materials, Material{"go", "oci:go", map[string]string{"sha512": hexOf("a") + hexOf("b")}},
		Material{"a", "pkg:npm/%40a/b@1?download_url=https://registry.invalid/b.tgz", map[string]string{"sha512": hexOf("a") + hexOf("b")}},
		Material{"b", "pkg:pypi/b@1", map[string]string{"sha256": hexOf("b")}}, Material{"c", "pkg:golang/example.org/c@v1", map[string]string{"goModuleH1": hexOf("c")}},
		Material{"from", "pkg:oci/debian", map[string]string{"sha256": hexOf("d")}}, Material{"from2", "pkg:docker/debian@12", map[string]string{"sha256": hexOf("e")}},
		Material{"tarball", "https://registry.invalid/b.tgz", map[string]string{"sha256": hexOf("f")}})
	payload := encoded(t, b)
	want := attest.BuildFacts{
		ImageID: digest("config"), Statement: Digest(payload).String(), Repository: "https://github.com/o/r", Branch: "refs/heads/main", Path: "site",
		Commit: gitSays, Tree: tree, Runtime: "static",
		Bases: []attest.BuildBase{
			{Name: "base", URI: "oci:static@sha256:00", SHA256: digest("base")},
			{Name: "go", URI: "oci:go"},
			{Name: "from", URI: "pkg:oci/debian", SHA256: digest("d")},
			{Name: "from2", URI: "pkg:docker/debian@12", SHA256: digest("e")},
			{Name: "tarball", URI: "https://registry.invalid/b.tgz", SHA256: digest("f")},
		},
	}
	if diff := cmp.Diff(want, b.Facts(payload)); diff != "" {
		t.Error(diff)
	}
	b.Source, b.Upload = nil, digest("files")
	if f := b.Facts(payload); f.Upload != b.Upload || f.Repository != "" {
		t.Errorf("got %+v", f)
	}
}
