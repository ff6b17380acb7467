package oci

import (
	"strings"
	"testing"

	"apocryph/proto/status"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPlatforms(t *testing.T) {
	dir := t.TempDir()
	var tagged []Tagged
	for _, p := range []string{"linux/arm64", "linux/amd64/v3", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "windows/amd64"} {
		parsed, err := ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		tagged = append(tagged, Tagged{"", sample(t, parsed, p)})
	}
	writeLayout(t, dir, tagged...)
	for want, got := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/amd64/v1": "linux/amd64", "linux/amd64/v2": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
		"linux/amd64/v4": "linux/amd64/v3", "linux/arm64": "linux/arm64", "linux/arm64/v8": "linux/arm64", "linux/arm": "linux/arm/v7",
		"linux/arm/v6": "linux/arm/v6", "linux/x86_64": "linux/amd64", "windows/amd64": "windows/amd64",
	} {
		t.Run(want, func(t *testing.T) {
			p, err := ParsePlatform(want)
			if err != nil {
				t.Fatal(err)
			}
			if img := mustRead(t, "oci:"+dir, Options{Platform: p}); img.Platform.String() != got {
				t.Errorf("got %s, want %s", img.Platform, got)
			}
		})
	}
	for _, none := range []string{"linux/riscv64", "linux/arm/v5", "darwin/arm64", "linux/arm64/v9"} {
		p, err := ParsePlatform(none)
		if err != nil {
			t.Fatal(err)
		}
		_, err = read(t, "oci:"+dir, Options{Platform: p})
		if none == "linux/arm64/v9" {
			// An unknown variant fits nothing but itself.
			none = "linux/arm64"
		}
		refused(t, err, status.InvalidArgument, none, "linux/amd64, linux/amd64/v3, linux/arm/v6, linux/arm/v7, linux/arm64, windows/amd64")
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	for _, s := range []string{"", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "Linux/amd64", "linux/amd 64", strings.Repeat("a", 100) + "/b"} {
		if p, err := ParsePlatform(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}

func TestNestedIndex(t *testing.T) {
	l := newLayout(t)
	arm, intel := sample(t, Platform{OS: "linux", Architecture: "arm64"}, "arm"), sample(t, amd64, "intel")
	attestation := l.image(sample(t, Platform{OS: "unknown", Architecture: "unknown"}, "x"), nil)
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	inner := l.json(MediaTypeIndex, map[string]any{"schemaVersion": 2, "mediaType": MediaTypeIndex, "manifests": []any{
		attestation, l.image(arm, nil), l.image(intel, nil),
	}})
	ref := l.index(inner)
	if got := mustRead(t, ref, Options{Platform: amd64}); got.ID() != intel.ID() {
		t.Error("the wrong image")
	}
	_, err := read(t, ref, Options{Platform: Platform{OS: "linux", Architecture: "s390x"}})
	refused(t, err, status.InvalidArgument, "linux/amd64, linux/arm64")
	if strings.Contains(err.Error(), "unknown") {
		t.Errorf("the attestation is listed as a platform: %v", err)
	}
	deep := inner
	for range maxDepth {
		deep = l.json(MediaTypeIndex, map[string]any{"schemaVersion": 2, "manifests": []any{deep}})
	}
	_, err = read(t, l.index(deep), Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "levels deep")
}

func TestIndexThatLies(t *testing.T) {
	l := newLayout(t)
	d := l.image(sample(t, Platform{OS: "linux", Architecture: "arm64"}, "arm"), nil)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	_, err := read(t, l.index(d), Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "it is for linux/arm64")
}

// TestFirstAmongEquals is what the OCI index specification asks for.
func TestFirstAmongEquals(t *testing.T) {
	l := newLayout(t)
	first, second := sample(t, amd64, "first"), sample(t, amd64, "second")
	ref := l.index(l.image(first, nil), l.image(second, nil))
	if got := mustRead(t, ref, Options{Platform: amd64}); got.ID() != first.ID() {
		t.Error("not the first")
	}
}
