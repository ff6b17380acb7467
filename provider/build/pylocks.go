package build

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"apocryph/proto/status"
)

// pythonLock is a kind of lock file. All of them become requirements with hashes, so
// that one way leads from a lock to files, whoever wrote it.
type pythonLock struct {
	name  string
	limit int64
	parse func([]byte) ([]requirement, error)
	// export writes a lock file that is read wherever this one is refused.
	export string
}

// pipLocks are those of pip itself. They are held against vendored wheels too.
func pipLocks() []pythonLock {
	return []pythonLock{
		{requirementsName, maxRequirements, parseRequirements, ""},
		{pylockName, maxLock, parsePylock, ""},
	}
}

// toolLocks are those of other tools, which are read where nothing is vendored.
func toolLocks() []pythonLock {
	return []pythonLock{
		{uvLockName, maxLock, parseUVLock, "uv export --format requirements-txt --no-dev --output-file requirements.txt"},
		{poetryLockName, maxLock, parsePoetryLock, "poetry export --output requirements.txt"},
		{pdmLockName, maxLock, parsePDMLock, "pdm export --prod --output requirements.txt"},
		{pipfileLockName, maxLock, parsePipfileLock, "pipenv requirements --hash > requirements.txt"},
	}
}

// findLock returns the first of the lock files that a tree has, and its text; nil where
// it has none.
func findLock(tree fs.FS, kinds []pythonLock) (*pythonLock, []byte, error) {
	for _, k := range kinds {
		text, err := readAll(tree, k.name, k.limit)
		if err != nil || text != nil {
			return &k, text, err
		}
	}
	return nil, nil, nil
}

// read parses the lock file.
func (l *pythonLock) read(text []byte) ([]requirement, error) {
	want, err := l.parse(text)
	var e *status.Error
	if l.export != "" && errors.As(err, &e) {
		return nil, e.WithHint("write the lock in pip's form: %s", l.export)
	}
	return want, err
}

// lockedPackage is a package of an index as lock files name it.
type lockedPackage struct {
	name, version string
	// markers are the conditions of which one has to hold (PEP 508); none for a package
	// that is always wanted.
	markers []string
	// sums are hex, of SHA-256.
	sums []string
}

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// sum adds a hash as lock files write it, "sha256:" and hex. Others are left out: a
// package of which none is left is refused.
func (p *lockedPackage) sum(hash string) {
	if s, ok := strings.CutPrefix(hash, "sha256:"); ok && hexSHA256.MatchString(s) {
		p.sums = append(p.sums, s)
	}
}

// requirement makes a line of a requirements file of a package, and checks it as one. The
// second result is what is wrong with it.
func (p lockedPackage) requirement() (requirement, string) {
	marker := strings.Join(p.markers, ") or (")
	if len(p.markers) > 1 {
		marker = "(" + marker + ")"
	}
	switch {
	case p.version == "":
		return requirement{}, "no version"
	case len(p.sums) == 0:
		return requirement{}, "no wheel with a sha256"
	case strings.Contains(marker, "dependency_groups") || strings.Contains(marker, "extra"):
		return requirement{}, fmt.Sprintf("the marker %.80q, of a group", marker)
	case strings.ContainsFunc(marker, func(r rune) bool { return r < ' ' || r == '#' || r == '\\' }) || len(marker) > maxArg:
		// What is a comment, or a line that goes on, in a requirements file.
		return requirement{}, "a marker of several lines, or with a # or \\"
	}
	line := p.name + "==" + p.version
	if marker != "" {
		line += " ; " + marker
	}
	r, ok := parseRequirement(line)
	if !ok || r.version != p.version || r.text != line || r.marked != (marker != "") {
		return requirement{}, fmt.Sprintf("%.120q", line)
	}
	all := map[string]bool{}
	for _, sum := range p.sums {
		all[sum] = true
	}
	r.hashes = slices.Sorted(maps.Keys(all))
	return r, ""
}

// lockReader collects the packages of one lock file, and all that is wrong with them.
type lockReader struct {
	name   string
	all    []lockedPackage
	seen   map[string]int
	added  int
	faults []status.Fault
}

// maxAdded bounds how often packages are named, against one that is named with another
// marker each time: its markers are compared.
const maxAdded = 4 * maxRequirement

// add takes a package. One that is there already, as one with an extra is named again by
// some tools, is wanted where either is.
func (l *lockReader) add(p lockedPackage) {
	if l.added++; l.added > maxAdded {
		return
	}
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	key := normalName(p.name) + "==" + p.version
	i, ok := l.seen[key]
	if !ok {
		l.seen[key] = len(l.all)
		l.all = append(l.all, p)
		return
	}
	have := &l.all[i]
	have.sums = append(have.sums, p.sums...)
	if len(p.markers) == 0 {
		have.markers = nil
	}
	if len(have.markers) > 0 {
		for _, m := range p.markers {
			if !slices.Contains(have.markers, m) {
				have.markers = append(have.markers, m)
			}
		}
	}
}

func (l *lockReader) fault(name, got string) {
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, status.Fault{Field: fmt.Sprintf("%s: %.80q", l.name, name), Got: got, Want: "a version, and wheels with a sha256 each, of an index"})
	}
}

// requirements is what was read, or why it is refused.
func (l *lockReader) requirements() ([]requirement, error) {
	if l.added > maxAdded {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s names packages %d times, want at most %d", l.name, l.added, maxAdded)
	}
	if len(l.all) > maxRequirement {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s has %d packages, want at most %d", l.name, len(l.all), maxRequirement)
	}
	var out []requirement
	for _, p := range l.all {
		r, fault := p.requirement()
		if fault != "" {
			l.fault(p.name, fault)
		}
		out = append(out, r)
	}
	if len(l.faults) > 0 {
		return nil, status.Invalid("build.lock", l.name, l.faults)
	}
	return out, nil
}

// decodeLock keeps what the library does with a stranger's text to itself: it panicked on
// some before.
func decodeLock(name string, data []byte, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("text that the TOML parser cannot read")
		}
		if err != nil {
			err = status.Wrap(err, status.InvalidArgument, "build.lock", "%s is not valid", name)
		}
	}()
	return toml.Unmarshal(data, into)
}

// lockVersion refuses a lock file of a form that is not known.
func lockVersion(name, field, got string, want ...string) error {
	for _, w := range want {
		if got == w || strings.HasPrefix(got, w+".") {
			return nil
		}
	}
	return status.New(status.InvalidArgument, "build.lock", "%s: %s: got %.40q, want %s", name, field, got, strings.Join(want, " or "))
}
