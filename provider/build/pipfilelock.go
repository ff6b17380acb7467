package build

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// pipfileLockName is the lock file of Pipenv (pipfile-spec 6).
const pipfileLockName = "Pipfile.lock"

type pipfileLock struct {
	Meta struct {
		Spec int `json:"pipfile-spec"`
	} `json:"_meta"`
	Default map[string]struct {
		Version  string   `json:"version"`
		Markers  string   `json:"markers"`
		Hashes   []string `json:"hashes"`
		Git      string   `json:"git"`
		File     string   `json:"file"`
		Path     string   `json:"path"`
		Editable bool     `json:"editable"`
	} `json:"default"`
}

// parsePipfileLock reads its default packages.
func parsePipfileLock(data []byte) ([]requirement, error) {
	var lock pipfileLock
	if err := json.Unmarshal(data, &lock); err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "build.lock", "%s is not valid", pipfileLockName)
	}
	if err := lockVersion(pipfileLockName, "_meta.pipfile-spec", fmt.Sprint(lock.Meta.Spec), "6"); err != nil {
		return nil, err
	}
	out := lockReader{name: pipfileLockName}
	for _, name := range slices.Sorted(maps.Keys(lock.Default)) {
		p := lock.Default[name]
		switch {
		case p.Editable && p.Path == ".":
			// The project itself, which is in the tree.
			continue
		case p.Editable || p.Git != "" || p.File != "" || p.Path != "":
			out.fault(name, "a package that is not from an index")
			continue
		}
		got := lockedPackage{name: name, version: strings.TrimPrefix(p.Version, "=="), markers: markerList(p.Markers)}
		for _, h := range p.Hashes {
			got.sum(h)
		}
		out.add(got)
	}
	return out.requirements()
}
