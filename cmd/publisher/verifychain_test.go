package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/provenance"
	"apocryph/attest/receipt"
	"apocryph/cmd/internal/cli"
)

func idOf(s string) string { return "sha256:" + strings.Repeat(s, 32) }

// TestChains shows the chain of an image of each runtime, of a receipt alone, and of
// images that less is known of.
func TestChains(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	base := provenance.Material{Name: "base:python", URI: "oci:python", Digest: map[string]string{"sha256": strings.Repeat("ba", 32)}}
	pkg := provenance.Material{Name: "flask", URI: "pkg:pypi/flask@3.0.0", Digest: map[string]string{"sha256": strings.Repeat("cc", 32)}}
	report := func(level attest.Level, images []string, builds ...client.Build) *client.Report {
		r := &client.Report{
			URL: "https://app.example", Host: "app.example", Verdict: attest.Verdict{Affirmed: true, Level: level},
			TLSKey: make([]byte, 32), Receipt: &receipt.Receipt{Provider: "12D3KooWExample", PodID: "mzxw6ytboi", Revision: 3, Issued: at}, Builds: builds,
		}
		for _, i := range images {
			r.Receipt.Images = append(r.Receipt.Images, receipt.Image{Container: "web", ImageID: i})
		}
		return r
	}
	built := func(runtime string, change func(*client.Build)) client.Build {
		b := client.Build{Build: provenance.Build{
			ID: "id", Runtime: runtime, ImageID: idOf("1d"), Finished: at, SBOM: idOf("b0"),
			Source: &provenance.Source{Repository: "https://github.com/o/r", Branch: "refs/heads/main", Commit: strings.Repeat("c0", 20), Tree: strings.Repeat("7e", 20)},
		}, Statement: idOf("57"), Logged: at, Record: 4}
		if change != nil {
			change(&b)
		}
		return b
	}
	one := []string{idOf("1d")}
	var out bytes.Buffer
	for _, tt := range []struct {
		name   string
		report *client.Report
	}{
		{"static, signed", report(attest.LevelSNP, one, built("static", func(b *client.Build) {
			b.Source.Path = "site"
			b.Signer = &attest.BuildSigner{Kind: "ssh", Key: "SHA256:abc", Name: "ann@example.org"}
		}))},
		{"binary, of an earlier boot", report(attest.LevelTDX, one, built("binary", func(b *client.Build) { b.Logged = time.Time{} }))},
		{"python", report(attest.LevelTPMMeasuredBoot, one, built("python", func(b *client.Build) { b.Materials = []provenance.Material{base, pkg, pkg} }))},
		{"node, from a mirror", report(attest.LevelTPMIdentity, one, built("node", func(b *client.Build) { b.Source.Repository = "http://git.internal:3000/o/r" }))},
		{"go, from a disk", report(attest.LevelSoft, one, built("go", func(b *client.Build) { b.Source.Repository = "file:///srv/r" }))},
		{"dockerfile, uploaded", report(attest.LevelSNP, one, built("dockerfile", func(b *client.Build) { b.Source, b.Upload, b.SBOM = nil, idOf("aa"), "" }))},
		{"of a later version", report(attest.LevelSNP, one, built("zig", nil))},
		{"two images", report(attest.LevelSNP, []string{idOf("1d"), idOf("2d")}, built("static", nil))},
		{"a file", func() *client.Report { r := report(attest.LevelSNP, nil); r.URL = ""; return r }()},
		{"a receipt", func() *client.Report { r := report(attest.LevelSNP, nil); r.URL, r.Host = "", ""; return r }()},
		{"without TLS", func() *client.Report { r := report(attest.LevelSoft, nil); r.TLSKey = nil; return r }()},
		{"control characters", report(attest.LevelSNP, one, built("static", func(b *client.Build) { b.Source.Branch = "refs/heads/\x1b[2J\n" }))},
	} {
		out.WriteString("# " + tt.name + "\n")
		g := &globals{app: &cli.App{Stdout: &out}}
		if err := g.printChain(tt.report); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	path := filepath.Join("testdata", "chains.golden")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Error(diff)
	}
}
