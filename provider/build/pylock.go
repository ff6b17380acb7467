package build

import "path"

// pylockName is the lock file of Python's packaging specifications (PEP 751), which pip
// lock, uv and pdm write.
const pylockName = "pylock.toml"

// pylock is what is read of it. URLs are not: files come from the index, by their hashes.
type pylock struct {
	Version  string `toml:"lock-version"`
	Packages []struct {
		Name    string `toml:"name"`
		Version string `toml:"version"`
		Marker  string `toml:"marker"`
		Wheels  []struct {
			Hashes map[string]string `toml:"hashes"`
		} `toml:"wheels"`
		Directory *struct {
			Path string `toml:"path"`
		} `toml:"directory"`
	} `toml:"packages"`
}

// parsePylock reads one. Packages that are not wheels of an index are refused: they would be
// another thing tomorrow, or need a compiler.
func parsePylock(data []byte) ([]requirement, error) {
	var lock pylock
	if err := decodeLock(pylockName, data, &lock); err != nil {
		return nil, err
	}
	if err := lockVersion(pylockName, "lock-version", lock.Version, "1"); err != nil {
		return nil, err
	}
	out := lockReader{name: pylockName}
	for _, p := range lock.Packages {
		if p.Directory != nil && path.Clean(p.Directory.Path) == "." {
			// The project itself, which is in the tree.
			continue
		}
		got := lockedPackage{name: p.Name, version: p.Version, markers: markerList(p.Marker)}
		for _, w := range p.Wheels {
			got.sum("sha256:" + w.Hashes["sha256"])
		}
		out.add(got)
	}
	return out.requirements()
}

// markerList is a list of a marker, or none.
func markerList(marker string) []string {
	if marker == "" {
		return nil
	}
	return []string{marker}
}
