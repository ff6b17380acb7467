package policy

import (
	"slices"
	"strings"
)

// Diff says in plain English what one policy demands that the other does not:
// lines that begin with "- " hold for before alone, those with "+ " for after
// alone. Sets are compared by name, whatever their order. Nil demands nothing.
func Diff(before, after *Policy) []string {
	old, changed := demands(before), demands(after)
	var out []string
	for _, d := range old {
		if !slices.Contains(changed, d) {
			out = append(out, "- "+d)
		}
	}
	for _, d := range changed {
		if !slices.Contains(old, d) {
			out = append(out, "+ "+d)
		}
	}
	return out
}

// demands are the lines of [Explain] without their places in a file, those of a
// set each with its name.
func demands(p *Policy) []string {
	if p == nil {
		return []string{"no policy: everything is denied"}
	}
	bare := *p
	bare.lines = nil
	var out []string
	set := ""
	for _, l := range Explain(&bare) {
		detail, within := strings.CutPrefix(l, "  ")
		switch name, kind, ok := setOf(l); {
		case ok:
			set = name
			l = "set " + set + " makes a machine with " + kind + " evidence acceptable"
		case within:
			l = "set " + set + ": " + detail
		}
		out = append(out, l)
	}
	return out
}

// setOf reads the line with which Explain begins a set.
func setOf(line string) (name, kind string, ok bool) {
	for _, start := range []string{"a machine is acceptable if it matches all of set ", "or if it matches all of set "} {
		if rest, found := strings.CutPrefix(line, start); found {
			name, kind, ok = strings.Cut(strings.TrimSuffix(rest, ":"), ", with evidence of type ")
			return name, kind, ok
		}
	}
	return "", "", false
}
