package build

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// wheelName is what a wheel's file name says.
type wheelName struct {
	// dist is normalised.
	dist, version, build  string
	python, abi, platform []string
}

var wheelPattern = regexp.MustCompile(`^([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(?:-([0-9][A-Za-z0-9_.]*))?-([A-Za-z0-9_.]+)-([A-Za-z0-9_.]+)-([A-Za-z0-9_.]+)\.whl$`)

// parseWheelName reads a file name (binary distribution format, "File name convention").
func parseWheelName(file string) (wheelName, error) {
	m := wheelPattern.FindStringSubmatch(file)
	if m == nil || len(file) > 255 {
		return wheelName{}, badWheel(file, "its name is not NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
	}
	return wheelName{
		dist: normalName(m[1]), version: m[2], build: m[3],
		python: strings.Split(m[4], "."), abi: strings.Split(m[5], "."), platform: strings.Split(m[6], "."),
	}, nil
}

var separators = regexp.MustCompile(`[-_.]+`)

// normalName is a project's name as it is compared (PEP 503).
func normalName(s string) string { return strings.ToLower(separators.ReplaceAllString(s, "-")) }

var zeros = regexp.MustCompile(`(\.0+)+$`)

// sameVersion compares versions but for trailing zeros and the case (PEP 440, "Normalization").
func sameVersion(x, y string) bool {
	normal := func(s string) string {
		s = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "_", "-")
		s = strings.TrimPrefix(s, "v")
		public, local, _ := strings.Cut(s, "+")
		if local != "" {
			local = "+" + strings.ReplaceAll(local, "-", ".")
		}
		return zeros.ReplaceAllString(public, "") + local
	}
	return normal(x) == normal(y)
}

// pythonTarget is what a wheel must fit.
type pythonTarget struct {
	// minor is that of Python 3; 0 where the base does not say.
	minor int
	// machine is Linux's word for the architecture.
	machine string
}

// linuxMachine is what uname -m says on Go's architectures.
var linuxMachine = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}

// fit says how well a wheel fits, less than 0 for not at all: what is made for this very
// Python and machine goes before what is for all (platform compatibility tags).
func (n wheelName) fit(t pythonTarget) int {
	best := -1
	for _, py := range n.python {
		for _, abi := range n.abi {
			for _, platform := range n.platform {
				best = max(best, t.fit(py, abi, platform))
			}
		}
	}
	return best
}

func (t pythonTarget) fit(py, abi, platform string) int {
	score := 0
	switch {
	case platform == "any":
	case t.machine != "" && strings.HasSuffix(platform, "_"+t.machine) && (strings.HasPrefix(platform, "manylinux") || platform == "linux_"+t.machine):
		score += 4
	default:
		return -1
	}
	implementation, version := py[:min(2, len(py))], py[min(2, len(py)):]
	if !strings.HasPrefix(version, "3") {
		return -1
	}
	minor, err := strconv.Atoi("0" + version[1:])
	if err != nil || implementation != "py" && implementation != "cp" {
		return -1
	}
	switch {
	case abi == "none" && implementation == "py" && minor <= t.minor:
		return score
	case abi == "abi3" && implementation == "cp" && minor <= t.minor:
		return score + 1
	case implementation == "cp" && minor == t.minor && t.minor > 0 && (abi == py || abi == "none"):
		return score + 2
	}
	return -1
}

// choose keeps for each project the wheel that fits best, and refuses two versions.
func choose(all []*wheel, t pythonTarget) ([]*wheel, error) {
	best := map[string]*wheel{}
	for _, w := range all {
		if w.name.fit(t) < 0 {
			continue
		}
		have, ok := best[w.name.dist]
		if ok && !sameVersion(have.name.version, w.name.version) {
			return nil, badWheel(w.file, "got version %s beside %s of the same project, want one", w.name.version, have.name.version)
		}
		if !ok || cmp.Or(cmp.Compare(w.name.fit(t), have.name.fit(t)), cmp.Compare(w.name.build, have.name.build), cmp.Compare(have.file, w.file)) > 0 {
			best[w.name.dist] = w
		}
	}
	var out []*wheel
	for _, w := range best {
		out = append(out, w)
	}
	slices.SortFunc(out, func(x, y *wheel) int { return cmp.Compare(x.name.dist, y.name.dist) })
	return out, nil
}
