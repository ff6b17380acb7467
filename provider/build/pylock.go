package build

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"apocryph/proto/status"
)

// pylockName is the lock file of Python's packaging specifications (PEP 751), which pip
// lock, uv and pdm write.
const pylockName = "pylock.toml"

// pylock is what is read of it. URLs are not: files come from the index, by their hashes.
type pylock struct {
	Version  string          `toml:"lock-version"`
	Packages []pylockPackage `toml:"packages"`
}

type pylockPackage struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Marker  string `toml:"marker"`
	Wheels  []struct {
		Hashes map[string]string `toml:"hashes"`
	} `toml:"wheels"`
	Directory *struct {
		Path string `toml:"path"`
	} `toml:"directory"`
}

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parsePylock reads one. Packages that are not wheels of an index are refused: they would be
// another thing tomorrow, or need a compiler.
func parsePylock(data []byte) ([]requirement, error) {
	lock, err := decodePylock(data)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "build.lock", "%s is not valid", pylockName)
	}
	if lock.Version != "1.0" && !strings.HasPrefix(lock.Version, "1.") {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s: lock-version: got %.40q, want 1.0", pylockName, lock.Version)
	}
	if len(lock.Packages) > maxRequirement {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s has %d packages, want at most %d", pylockName, len(lock.Packages), maxRequirement)
	}
	var (
		out    []requirement
		faults []status.Fault
	)
	for i, p := range lock.Packages {
		if p.Directory != nil && path.Clean(p.Directory.Path) == "." {
			// The project itself, which is in the tree.
			continue
		}
		r, fault := p.read()
		if fault != "" && len(faults) < maxFaults {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("%s: packages[%d]: %.80q", pylockName, i, p.Name), Got: fault, Want: "a version, and wheels with a sha256 each"})
		}
		out = append(out, r)
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.lock", pylockName, faults)
	}
	return out, nil
}

// decodePylock keeps what the library does with a stranger's text to itself: it panicked
// on some before.
func decodePylock(data []byte) (lock pylock, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("text that the TOML parser cannot read")
		}
	}()
	err = toml.Unmarshal(data, &lock)
	return lock, err
}

// read makes a line of a requirements file of a package, and checks it as one.
func (p pylockPackage) read() (requirement, string) {
	var sums []string
	for _, w := range p.Wheels {
		if sum := w.Hashes["sha256"]; hexSHA256.MatchString(sum) {
			sums = append(sums, sum)
		}
	}
	switch {
	case p.Version == "":
		return requirement{}, "no version"
	case len(sums) == 0:
		return requirement{}, "no wheel with a sha256"
	case strings.Contains(p.Marker, "dependency_groups") || strings.Contains(p.Marker, "extras"):
		return requirement{}, fmt.Sprintf("the marker %.80q, of a group", p.Marker)
	case strings.ContainsFunc(p.Marker, func(r rune) bool { return r < ' ' || r == '#' || r == '\\' }) || len(p.Marker) > maxArg:
		// What is a comment, or a line that goes on, in a requirements file.
		return requirement{}, "a marker of several lines, or with a # or \\"
	}
	line := p.Name + "==" + p.Version
	if p.Marker != "" {
		line += " ; " + p.Marker
	}
	r, ok := parseRequirement(line)
	if !ok || r.version != p.Version || r.text != line || r.marked != (p.Marker != "") {
		return requirement{}, fmt.Sprintf("%.120q", line)
	}
	all := map[string]bool{}
	for _, sum := range sums {
		all[sum] = true
	}
	r.hashes = slices.Sorted(maps.Keys(all))
	return r, ""
}
