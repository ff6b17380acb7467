package build

import (
	"fmt"
	"slices"
)

// The lock files of Poetry (2.0 and later, lock-version 2.1) and of PDM (2.17 and later,
// lock_version 4.5). Their packages are named in one form, and say in which of the
// project's groups they are and under which marker; older ones leave that to a resolver.
const (
	poetryLockName = "poetry.lock"
	pdmLockName    = "pdm.lock"
)

type groupedLock struct {
	Packages []groupedPackage `toml:"package"`
	Metadata struct {
		Poetry   string   `toml:"lock-version"`
		PDM      string   `toml:"lock_version"`
		Strategy []string `toml:"strategy"`
	} `toml:"metadata"`
}

type groupedPackage struct {
	Name    string   `toml:"name"`
	Version string   `toml:"version"`
	Groups  []string `toml:"groups"`
	// Optional is of packages for extras alone (Poetry).
	Optional bool `toml:"optional"`
	// Markers are Poetry's: text, or a table of texts by group.
	Markers any `toml:"markers"`
	// Marker is PDM's.
	Marker string `toml:"marker"`
	Files  []struct {
		Hash string `toml:"hash"`
	} `toml:"files"`
	// Source is Poetry's, of what is not from its default index.
	Source struct {
		Type string `toml:"type"`
	} `toml:"source"`
	// What PDM has for packages that are not from an index.
	Git  string `toml:"git"`
	Path string `toml:"path"`
	URL  string `toml:"url"`
}

// parsePoetryLock reads what the group "main" needs, without extras.
func parsePoetryLock(data []byte) ([]requirement, error) {
	var lock groupedLock
	if err := decodeLock(poetryLockName, data, &lock); err != nil {
		return nil, err
	}
	// 2.0, of Poetry before 2, has no groups.
	if err := lockVersion(poetryLockName, "metadata.lock-version", lock.Metadata.Poetry, "2.1"); err != nil {
		return nil, err
	}
	return lock.read(poetryLockName, "main", func(p groupedPackage) (marker, from string) {
		switch p.Source.Type {
		case "", "legacy": // another index, of which the operator's is a stand-in
		default:
			return "", p.Source.Type
		}
		of := p.Markers
		if table, ok := of.(map[string]any); ok {
			of = table["main"]
		}
		marker, ok := of.(string)
		if !ok && of != nil {
			// Without it the package would be wanted everywhere.
			return "", "markers of an unknown form"
		}
		return marker, ""
	})
}

// parsePDMLock reads what the group "default" needs.
func parsePDMLock(data []byte) ([]requirement, error) {
	var lock groupedLock
	if err := decodeLock(pdmLockName, data, &lock); err != nil {
		return nil, err
	}
	if err := lockVersion(pdmLockName, "metadata.lock_version", lock.Metadata.PDM, "4.5"); err != nil {
		return nil, err
	}
	if !slices.Contains(lock.Metadata.Strategy, "inherit_metadata") {
		return nil, lockVersion(pdmLockName, "metadata.strategy", fmt.Sprint(lock.Metadata.Strategy), "inherit_metadata")
	}
	return lock.read(pdmLockName, "default", func(p groupedPackage) (marker, from string) {
		switch {
		case p.Git != "":
			return "", "git"
		case p.Path != "":
			return "", "a directory or file"
		case p.URL != "":
			return "", "a URL"
		}
		return p.Marker, ""
	})
}

// read takes the packages of one group. origin says of a package its marker, and what it is
// from if not from an index.
func (l *groupedLock) read(name, group string, origin func(groupedPackage) (marker, from string)) ([]requirement, error) {
	out := lockReader{name: name}
	for _, p := range l.Packages {
		if p.Optional || !slices.Contains(p.Groups, group) {
			continue
		}
		marker, from := origin(p)
		if from != "" {
			out.fault(p.Name, "a package from "+from)
			continue
		}
		got := lockedPackage{name: p.Name, version: p.Version, markers: markerList(marker)}
		for _, f := range p.Files {
			got.sum(f.Hash)
		}
		out.add(got)
	}
	return out.requirements()
}
