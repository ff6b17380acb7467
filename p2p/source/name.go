package source

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const wantName = "a relative UTF-8 path without .., backslashes and control characters"

// clean checks the name of an entry and returns it as a slash-separated path
// without "." components, or "." for the root of the tree itself.
func (p *part) clean(entry string) (string, error) {
	l := p.t.limits
	if len(entry) > l.PathBytes {
		return "", p.tooLarge(entry, strconv.Itoa(len(entry))+" bytes of name", int64(l.PathBytes), "bytes")
	}
	if got := badText(entry); got != "" {
		return "", p.unsafe(entry, got, wantName)
	}
	if entry == "" {
		return "", p.unsafe(entry, "an empty name", wantName)
	}
	if entry[0] == '/' {
		return "", p.unsafe(entry, "an absolute path", wantName)
	}
	var kept []string
	for c := range strings.SplitSeq(entry, "/") {
		switch {
		case c == "" || c == ".":
			continue
		case c == "..":
			return "", p.unsafe(entry, "a path with ..", wantName)
		case len(c) > nameBytes:
			return "", p.tooLarge(entry, "a component of "+strconv.Itoa(len(c))+" bytes", nameBytes, "bytes")
		}
		kept = append(kept, c)
	}
	if len(kept) > l.Depth {
		return "", p.tooLarge(entry, strconv.Itoa(len(kept))+" components", int64(l.Depth), "components")
	}
	if len(kept) == 0 {
		return ".", nil
	}
	return strings.Join(kept, "/"), nil
}

// badText says what of a name or target is refused, or "".
func badText(s string) string {
	if !utf8.ValidString(s) {
		return "invalid UTF-8"
	}
	for _, r := range s {
		switch {
		case r == 0:
			return "a NUL byte"
		case r == '\\':
			return "a backslash"
		case unicode.IsControl(r):
			return "a control character"
		}
	}
	return ""
}

// target checks the target of a symbolic link at name by its letters alone:
// it is relative, and at no point above the root of the tree.
func (p *part) target(name, target string) error {
	const want = "a relative target within the tree"
	if max := p.t.limits.PathBytes; len(target) > max {
		return p.tooLarge(name, strconv.Itoa(len(target))+" bytes of link target", int64(max), "bytes")
	}
	if target == "" {
		return p.unsafe(name, "a link to nothing", want)
	}
	if got := badText(target); got != "" {
		return p.unsafe(name, "a link target with "+got, want)
	}
	if target[0] == '/' {
		return p.unsafe(name, "a link to "+quote(target), want)
	}
	depth := strings.Count(name, "/")
	for c := range strings.SplitSeq(target, "/") {
		switch c {
		case "", ".":
			continue
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return p.unsafe(name, "a link to "+quote(target), want)
		}
	}
	return nil
}

// fold maps names that differ in case or in Unicode composition alone to one
// string: canonical decomposition, simple case folding (each rune becomes the
// least of its orbit), canonical composition. On the file systems of macOS and
// Windows such names are one file, so that one entry would replace another.
func fold(name string) string {
	ascii := true
	for i := range len(name) {
		ascii = ascii && name[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToUpper(name)
	}
	return norm.NFC.String(strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, norm.NFD.String(name)))
}

// base is the last component of a file name that a client sent.
func base(filename string) string { return filename[strings.LastIndexByte(filename, '/')+1:] }

func parent(name string) string { return path.Dir(name) }
