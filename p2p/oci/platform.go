package oci

import (
	"regexp"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// Platform is an operating system, an architecture and its variant, in Go's
// words (GOOS, GOARCH), as the OCI image index has them.
type Platform struct{ OS, Architecture, Variant string }

var platformWord = regexp.MustCompile(`^[a-z0-9_.]{1,32}$`)

// ParsePlatform reads "linux/amd64" or "linux/arm/v7".
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.ContainsFunc(parts, func(p string) bool { return !platformWord.MatchString(p) }) {
		return Platform{}, status.New(status.InvalidArgument, "image.platform", "platform: got %q, want OS/ARCHITECTURE[/VARIANT] such as linux/amd64", clip(s))
	}
	p := Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p.normal(), nil
}

// String is "linux/arm64" or "linux/arm/v7".
func (p Platform) String() string {
	switch {
	case p.OS == "" && p.Architecture == "":
		return "unknown"
	case p.Variant == "":
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// normal folds the names that mean the same: amd64 is amd64/v1, arm64 is
// arm64/v8 and arm is arm/v7.
func (p Platform) normal() Platform {
	switch p.Architecture {
	case "x86_64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	}
	switch {
	case p.Architecture == "amd64" && p.Variant == "v1", p.Architecture == "arm64" && p.Variant == "v8":
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	}
	return p
}

// variants are the variants of an architecture, each running what its
// predecessors run.
var variants = map[string][]string{
	"amd64": {"", "v2", "v3", "v4"},
	"arm":   {"v5", "v6", "v7"},
}

// runs says whether a machine that is p runs an image for q, and how well it
// fits: the higher, the better.
func (p Platform) runs(q Platform) (fit int, ok bool) {
	p, q = p.normal(), q.normal()
	if p.OS != q.OS || p.Architecture != q.Architecture {
		return 0, false
	}
	if p.Variant == q.Variant {
		return len(variants[p.Architecture]) + 1, true
	}
	has, needs := slices.Index(variants[p.Architecture], p.Variant), slices.Index(variants[p.Architecture], q.Variant)
	return needs, has >= 0 && needs >= 0 && needs < has
}

// maxNamed bounds how many names an error lists: an index of a stranger may have thousands.
const maxNamed = 16

// wrongPlatform is the refusal of an image that does not exist for want.
func wrongPlatform(where string, want Platform, have []Platform) error {
	var names []string
	for _, p := range have {
		names = append(names, clip(p.String()))
	}
	return status.New(status.InvalidArgument, "image.platform", "%s is not for %s: it is for %s", where, want, listNames(names)).
		WithHint("build or save the image for %s (docker build --platform %s)", want, want)
}

func listNames(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > maxNamed {
		names = append(names[:maxNamed:maxNamed], "...")
	}
	return strings.Join(names, ", ")
}
