package strictyaml

import (
	"slices"
	"strings"
)

// Place says that what a reader calls path is n in the file. Elements and
// fields that were visited have their own paths already.
func (d *Doc) Place(path string, n Node) { d.places[path] = n }

// Merge adds a fault that was found after reading, in the terms of what was
// read. It is moved to the place in the file that the path, or the nearest
// path above it, came from. It is dropped where that place, one above or one
// below it was refused already: the one is likely to follow from the other.
func (d *Doc) Merge(f Fault) {
	n, rest := d.locate(f.Field)
	if n.IsScalar() {
		rest = ""
	}
	path := n.Path + rest
	if n.Path == "" {
		path = strings.TrimPrefix(path, ".")
	}
	if d.related(path) {
		return
	}
	f.Field, f.Line = path, n.Line()
	if len(d.faults) < maxFaults && !slices.Contains(d.faults, f) {
		d.faults = append(d.faults, f)
	}
}

func (d *Doc) locate(path string) (Node, string) {
	for head := path; head != ""; head = parent(head) {
		if n, ok := d.places[head]; ok {
			return n, path[len(head):]
		}
	}
	return Node{}, path
}

func (d *Doc) related(path string) bool {
	for p := path; p != ""; p = parent(p) {
		if d.failed[p] {
			return true
		}
	}
	for p := range d.failed {
		if len(p) > len(path) && strings.HasPrefix(p, path) && strings.ContainsRune(".[", rune(p[len(path)])) {
			return true
		}
	}
	return false
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
