package build

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// uvLockName is the lock file of uv (version 1). It has a graph: what a project needs is
// what can be reached from it, under the markers on the way.
const uvLockName = "uv.lock"

// What a stranger's graph may cost: its packages, the ways to one, the markers on one, and
// how often two ways are compared. No deadline ends it.
const (
	maxNodes   = 4 * maxRequirement
	maxWays    = 64
	maxMarkers = 16
	maxSteps   = 1 << 21
)

var errTangled = errors.New("too many combinations of markers")

type uvLock struct {
	Version  int         `toml:"version"`
	Packages []uvPackage `toml:"package"`
}

type uvPackage struct {
	Name         string                    `toml:"name"`
	Version      string                    `toml:"version"`
	Source       uvSource                  `toml:"source"`
	Dependencies []uvDependency            `toml:"dependencies"`
	Extras       map[string][]uvDependency `toml:"optional-dependencies"`
	Wheels       []struct {
		Hash string `toml:"hash"`
	} `toml:"wheels"`
}

type uvSource struct {
	Registry  string `toml:"registry"`
	Virtual   string `toml:"virtual"`
	Editable  string `toml:"editable"`
	Directory string `toml:"directory"`
}

// project is of the package that the lock file is about, which is in the tree.
func (s uvSource) project() bool {
	dir := s.Virtual + s.Editable + s.Directory
	return dir != "" && path.Clean(dir) == "."
}

// uvDependency names a package; by its version too where there are several.
type uvDependency struct {
	Name    string   `toml:"name"`
	Version string   `toml:"version"`
	Extras  []string `toml:"extra"`
	Marker  string   `toml:"marker"`
}

// uvNode is a package, or what an extra of one adds.
type uvNode struct {
	at    int // its index in the lock file
	extra string
}

// way is the markers, sorted, that all have to hold on one way to a package.
type way []int

// uvMarkers are the texts of markers. Ways have their numbers: a text is long, and is
// compared with others often.
type uvMarkers struct {
	texts []string
	seen  map[string]int
}

// number is that of a text.
func (m *uvMarkers) number(text string) int {
	n, ok := m.seen[text]
	if !ok {
		n = len(m.texts)
		m.seen[text] = n
		m.texts = append(m.texts, text)
	}
	return n
}

// parseUVLock reads what the project needs, without extras and groups of its own.
func parseUVLock(data []byte) ([]requirement, error) {
	var lock uvLock
	if err := decodeLock(uvLockName, data, &lock); err != nil {
		return nil, err
	}
	if err := lockVersion(uvLockName, "version", fmt.Sprint(lock.Version), "1"); err != nil {
		return nil, err
	}
	root := slices.IndexFunc(lock.Packages, func(p uvPackage) bool { return p.Source.project() })
	if root < 0 {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s: got no package in the directory of the lock file, want the project itself", uvLockName)
	}
	if len(lock.Packages) > maxNodes {
		return nil, status.New(status.InvalidArgument, "build.lock", "%s has %d packages, want at most %d", uvLockName, len(lock.Packages), maxNodes)
	}
	out := lockReader{name: uvLockName}
	markers := uvMarkers{seen: map[string]int{}}
	ways := lock.reach(root, &markers, &out)
	for i, p := range lock.Packages {
		all, ok := ways[uvNode{at: i}]
		switch {
		case !ok || i == root:
			continue
		case p.Source.Registry == "":
			out.fault(p.Name, "a package that is not from an index")
			continue
		}
		got := lockedPackage{name: p.Name, version: p.Version}
		for _, w := range all {
			if len(w) > 0 {
				got.markers = append(got.markers, markers.all(w))
			}
		}
		for _, w := range p.Wheels {
			got.sum(w.Hash)
		}
		out.add(got)
	}
	return out.requirements()
}

// all is one text of the markers of a way.
func (m *uvMarkers) all(w way) string {
	var texts []string
	for _, n := range w {
		texts = append(texts, m.texts[n])
	}
	if len(texts) == 1 {
		return texts[0]
	}
	slices.Sort(texts)
	return "(" + strings.Join(texts, ") and (") + ")"
}

// reach walks the graph, and returns the shortest ways to what it comes to.
func (l *uvLock) reach(root int, markers *uvMarkers, out *lockReader) map[uvNode][]way {
	index := l.index()
	ways := map[uvNode][]way{{at: root}: {nil}}
	todo := []uvNode{{at: root}}
	for steps := 0; len(todo) > 0; {
		n := todo[0]
		todo = todo[1:]
		from := l.Packages[n.at]
		dependencies := from.Dependencies
		if n.extra != "" {
			dependencies = from.Extras[n.extra]
		}
		for _, d := range dependencies {
			steps++
			i, fault := index.find(d)
			if fault != "" {
				out.fault(from.Name, fault)
				continue
			}
			for _, extra := range append([]string{""}, d.Extras...) {
				to := uvNode{i, extra}
				if steps += (1 + len(ways[to]) + len(ways[n])) * len(ways[n]); steps > maxSteps {
					out.fault(d.Name, errTangled.Error())
					return nil
				}
				more, err := join(ways[to], ways[n], markers, d.Marker)
				if err != nil {
					out.fault(d.Name, err.Error())
					return nil
				}
				if more != nil {
					ways[to] = more
					todo = append(todo, to)
				}
			}
		}
	}
	return ways
}

// uvIndex has packages by name and version, and by name alone where the version is
// empty: -1 is for several.
type uvIndex map[[2]string]int

func (l *uvLock) index() uvIndex {
	all := uvIndex{}
	for i, p := range l.Packages {
		keys := [][2]string{{p.Name, ""}, {p.Name, p.Version}}
		if p.Version == "" {
			keys = keys[:1]
		}
		for _, key := range keys {
			if _, twice := all[key]; twice {
				all[key] = -1
				continue
			}
			all[key] = i
		}
	}
	return all
}

// find returns the package that a dependency names, or what is wrong with it.
func (x uvIndex) find(d uvDependency) (at int, fault string) {
	at, ok := x[[2]string{d.Name, d.Version}]
	switch {
	case !ok:
		return 0, fmt.Sprintf("the dependency %.80q, which it does not have", d.Name)
	case at < 0:
		return 0, fmt.Sprintf("the dependency %.80q, of which there are several", d.Name)
	}
	return at, ""
}

// join adds to the ways to a package those that lead through another and a marker. A way
// that demands all of what another does, and more, is left out. It is nil where
// nothing is new.
func join(have, through []way, markers *uvMarkers, marker string) ([]way, error) {
	out, changed := slices.Clone(have), false
	for _, w := range through {
		next := slices.Clone(w)
		if marker != "" {
			number := markers.number(marker)
			if at, found := slices.BinarySearch(next, number); !found {
				next = slices.Insert(next, at, number)
			}
		}
		if slices.ContainsFunc(out, func(o way) bool { return within(o, next) }) {
			continue
		}
		out = append(slices.DeleteFunc(out, func(o way) bool { return within(next, o) }), next)
		changed = true
		if len(out) > maxWays || len(next) > maxMarkers {
			return nil, errTangled
		}
	}
	if !changed {
		return nil, nil
	}
	return out, nil
}

// within says whether all markers of a are b's too.
func within(a, b way) bool {
	return !slices.ContainsFunc(a, func(m int) bool { _, ok := slices.BinarySearch(b, m); return !ok })
}
