package sbom

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var imageID = "sha256:" + strings.Repeat("1d", 32)

func packages() []Package {
	return []Package{
		{"flask", "3.0.0", "pkg:pypi/flask@3.0.0", strings.Repeat("ab", 32), "BSD-3-Clause"},
		{"left-pad", "1.0.0", "pkg:npm/left-pad@1.0.0", "", ""},
	}
}

func TestGolden(t *testing.T) {
	got, err := Encode(imageID, packages())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "bom.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	mixed := append(packages(), packages()...)
	slices.Reverse(mixed)
	if again, err := Encode(imageID, mixed); err != nil || !bytes.Equal(again, got) {
		t.Errorf("another order gives %s, %v", again, err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(got), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := *bom.Components; len(c) != 2 || c[1].PackageURL != packages()[0].PURL || bom.SerialNumber != "" || bom.Metadata.Timestamp != "" {
		t.Errorf("got %+v", bom)
	}
}

func TestEncodeNothing(t *testing.T) {
	b, err := Encode(imageID, nil)
	if err != nil || !bytes.Contains(b, []byte(`"components":[]`)) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		id    string
		spoil func(*Package)
		field string
	}{
		"image by tag":      {"web:latest", func(*Package) {}, "image_id"},
		"upper-case digest": {strings.ToUpper(imageID), func(*Package) {}, "image_id"},
		"no name":           {imageID, func(p *Package) { p.Name = "" }, ".name"},
		"escape":            {imageID, func(p *Package) { p.Name = "\x1b" }, ".name"},
		"no purl":           {imageID, func(p *Package) { p.PURL = "" }, ".purl"},
		"a URL":             {imageID, func(p *Package) { p.PURL = "https://x" }, ".purl"},
		"purl twice":        {imageID, func(p *Package) { p.PURL = packages()[1].PURL }, ".purl"},
		"no UTF-8":          {imageID, func(p *Package) { p.Version = "\xff" }, ".version"},
		"long licence":      {imageID, func(p *Package) { p.License = strings.Repeat("x", maxText+1) }, ".license"},
		"digest":            {imageID, func(p *Package) { p.SHA256 = "00" }, ".sha256"},
	} {
		list := packages()
		tt.spoil(&list[0])
		_, err := Encode(tt.id, list)
		if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "sbom.invalid" {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if f := status.Public(err).Faults[0].Field; !strings.HasSuffix(f, tt.field) {
			t.Errorf("%s: got a fault of %s, want %s", name, f, tt.field)
		}
	}
	for _, n := range []int{MaxPackages + 1, maxFaults * 2} {
		_, err := Encode(imageID, make([]Package, n))
		if f := status.Public(err).Faults; len(f) == 0 || len(f) > maxFaults {
			t.Errorf("%d packages: got %d faults", n, len(f))
		}
	}
}
