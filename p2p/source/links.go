package source

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"apocryph/proto/status"
)

const (
	// maxHops is how many links one link may lead through (as Linux's own limit).
	maxHops = 40
	// maxLinkSteps caps the look-ups for all links of a tree: each of 100,000
	// links could lead through 40 more, of 500 components each.
	maxLinkSteps = 1 << 20
)

// check follows every link of the tree as a kernel would, component by
// component, and refuses one that leaves the tree on the way: with d -> "..",
// the target "d/../x" is within by its letters and outside in fact.
func (t *Tree) check() error {
	if t.checked || t.links == 0 {
		return nil
	}
	steps := 0
	w := walker{visit: func(name string, info fs.FileInfo, dir *os.Root) error {
		if info.Mode().Type() != fs.ModeSymlink {
			return nil
		}
		target, err := dir.Readlink(path.Base(name))
		if err != nil {
			return err
		}
		got := t.follow(name, target, &steps)
		if got == "" {
			return nil
		}
		return status.Invalid(ReasonUnsafe, "the files", []status.Fault{
			{Field: quote(name), Got: "a link to " + quote(target) + " that " + got, Want: "a target within the tree"},
		})
	}}
	if err := w.walk(t.root, ""); err != nil {
		return hostError("checking the links", err)
	}
	t.checked = true
	return nil
}

// follow says what is wrong with the link at name, or "". A target that is not
// there is right: what is missing counts as a directory.
func (t *Tree) follow(name, target string, steps *int) string {
	var at []string
	if dir := parent(name); dir != "." {
		at = strings.Split(dir, "/")
	}
	rest := strings.Split(target, "/")
	for hops := 1; len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return "leads out of the tree"
			}
			at = at[:len(at)-1]
			continue
		}
		if *steps++; *steps > maxLinkSteps {
			return "comes after too many links to check"
		}
		here := strings.Join(append(at[:len(at):len(at)], c), "/")
		info, err := t.root.Lstat(here)
		if err != nil || info.Mode().Type() != fs.ModeSymlink {
			at = append(at, c)
			continue
		}
		if hops++; hops > maxHops {
			return "leads through too many links, or in a circle"
		}
		next, err := t.root.Readlink(here)
		if err != nil || strings.HasPrefix(next, "/") {
			return "leads out of the tree"
		}
		rest = append(strings.Split(next, "/"), rest...)
	}
	return ""
}
