package sbom

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/CycloneDX/cyclonedx-go"

	"apocryph/proto/status"
)

const (
	// MediaType is that of CycloneDX in JSON.
	MediaType = "application/vnd.cyclonedx+json"
	// MaxPackages bounds a bill, against lock files that are made to be long.
	MaxPackages = 16384
	// maxText bounds every text in bytes.
	maxText = 2 << 10
	// maxFaults bounds how many faults are told; the rest would only scroll.
	maxFaults = 32
)

// Package is one package in an image.
type Package struct {
	Name, Version string
	// PURL is the package URL, such as "pkg:pypi/flask@3.0.0".
	PURL string
	// SHA256 is that of the archive it came in, hex; empty where that is unknown.
	SHA256 string
	// License is an SPDX expression; empty where nobody said.
	License string
}

// Encode returns the bill of an image, by the digest of its configuration
// ("sha256:HEX"). Packages may come in any order and more than once. Faults are
// invalid_argument, reason "sbom.invalid", all at once.
func Encode(imageID string, packages []Package) ([]byte, error) {
	list, err := check(imageID, packages)
	if err != nil {
		return nil, err
	}
	digest := strings.TrimPrefix(imageID, "sha256:")
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		BOMRef: imageID, Type: cyclonedx.ComponentTypeContainer, Name: imageID, Hashes: hashes(digest),
	}}
	components, refs := make([]cyclonedx.Component, 0, len(list)), make([]string, 0, len(list))
	for _, p := range list {
		c := cyclonedx.Component{BOMRef: p.PURL, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: p.PURL, Hashes: hashes(p.SHA256)}
		if p.License != "" {
			c.Licenses = &cyclonedx.Licenses{{Expression: p.License}}
		}
		components, refs = append(components, c), append(refs, p.PURL)
	}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: imageID, Dependencies: &refs}}
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).Encode(bom); err != nil {
		return nil, status.Wrap(err, status.Internal, "sbom.encode", "writing a bill of materials")
	}
	return b.Bytes(), nil
}

func hashes(sha256 string) *[]cyclonedx.Hash {
	if sha256 == "" {
		return nil
	}
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sha256}}
}

// check returns the packages in order, each once.
func check(imageID string, packages []Package) ([]Package, error) {
	var faults []status.Fault
	add := func(field, got, want string) {
		if len(faults) < maxFaults {
			faults = append(faults, status.Fault{Field: field, Got: fmt.Sprintf("%.80q", got), Want: want})
		}
	}
	if d, ok := strings.CutPrefix(imageID, "sha256:"); !ok || !isDigest(d) {
		add("image_id", imageID, "sha256:HEX")
	}
	if len(packages) > MaxPackages {
		add("packages", fmt.Sprintf("%d packages", len(packages)), fmt.Sprintf("at most %d", MaxPackages))
		packages = nil
	}
	list := slices.Clone(packages)
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.PURL, b.PURL), strings.Compare(a.SHA256, b.SHA256), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.License, b.License))
	})
	list = slices.Compact(list)
	for i, p := range list {
		field := fmt.Sprintf("packages[%q]", fmt.Sprintf("%.80s", p.PURL))
		if !strings.HasPrefix(p.PURL, "pkg:") || !isText(p.PURL) {
			add(field+".purl", p.PURL, "a package URL")
		}
		if i > 0 && list[i-1].PURL == p.PURL {
			// A reference of the document must be of one component.
			add(field+".purl", p.PURL+" with two contents", "each package URL once")
		}
		if p.Name == "" || !isText(p.Name) {
			add(field+".name", p.Name, "1 to 2048 bytes of text")
		}
		for name, s := range map[string]string{".version": p.Version, ".license": p.License} {
			if !isText(s) {
				add(field+name, s, "at most 2048 bytes of text")
			}
		}
		if p.SHA256 != "" && !isDigest(p.SHA256) {
			add(field+".sha256", p.SHA256, "64 lower-case hexadecimal digits")
		}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("sbom.invalid", "the bill of materials", faults)
	}
	return list, nil
}

func isText(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}
