package commit

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode"

	"apocryph/proto/status"
)

const (
	// maxObject caps a commit object: it is held in memory, and goes into
	// evidence as it is. A real one with a merged tag has a few kilobytes.
	maxObject = 256 << 10
	// maxParents caps the parents, each of which a reader may look up. Git's own
	// octopus merges have at most a few dozen.
	maxParents = 128
	// maxText caps a name, an address and a subject, in bytes: they are shown.
	maxText = 512
)

func malformed(format string, args ...any) error {
	return status.New(status.InvalidArgument, ReasonMalformed, "the commit object is malformed: "+format, args...)
}

// header is one line of the head, its continuations joined by newlines.
type header struct{ key, value string }

// Parse reads a raw commit object. It is as strict as git fsck is about what
// it accepts as an error, and beyond it: a header that could be read in two
// ways (a second author, a second signature, a NUL) is refused.
func Parse(raw []byte) (Commit, error) {
	if len(raw) > maxObject {
		return Commit{}, malformed("got %d bytes, want at most %d", len(raw), maxObject)
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return Commit{}, malformed("got a NUL byte at %d, want none", i)
	}
	c := Commit{ID: ID(raw)}
	if c.ID == "" {
		return Commit{}, malformed("it is made to have the id of another one (a SHA-1 collision)")
	}
	headers, signed, message, err := split(raw)
	if err != nil {
		return Commit{}, err
	}
	rest, err := c.links(headers)
	if err != nil {
		return Commit{}, err
	}
	if rest, err = c.people(rest); err != nil {
		return Commit{}, err
	}
	if err := c.others(rest); err != nil {
		return Commit{}, err
	}
	subject, _, _ := strings.Cut(message, "\n")
	c.Subject = printable(subject)
	if c.Signature != "" {
		c.Signed = signed
	}
	return c, nil
}

// split cuts an object into its headers and its message. signed is the object
// without the headers that carry signatures.
func split(raw []byte) (headers []header, signed []byte, message string, err error) {
	signed = make([]byte, 0, len(raw))
	dropping := false
	for line, n := "", 1; len(raw) > 0; n++ {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			return nil, nil, "", malformed("line %d has no end", n)
		}
		line, raw = string(raw[:end]), raw[end+1:]
		if line == "" {
			signed = append(append(signed, '\n'), raw...)
			return headers, signed, string(raw), nil
		}
		if line[0] == ' ' {
			if len(headers) == 0 {
				return nil, nil, "", malformed("line %d goes on from nothing", n)
			}
			headers[len(headers)-1].value += "\n" + line[1:]
		} else {
			key, value, ok := strings.Cut(line, " ")
			if !ok || key == "" {
				return nil, nil, "", malformed("line %d has no key and value", n)
			}
			headers = append(headers, header{key, value})
			dropping = key == "gpgsig" || key == "gpgsig-sha256"
		}
		if !dropping {
			signed = append(append(signed, line...), '\n')
		}
	}
	return headers, signed, "", nil
}

// links reads the tree and the parents, which come first.
func (c *Commit) links(headers []header) ([]header, error) {
	if len(headers) == 0 || headers[0].key != "tree" || !IsID(headers[0].value) {
		return nil, malformed("want it to begin with a tree and its id of %d hex digits", hexID)
	}
	c.Tree, headers = headers[0].value, headers[1:]
	for len(headers) > 0 && headers[0].key == "parent" {
		if !IsID(headers[0].value) {
			return nil, malformed("a parent has no id of %d hex digits", hexID)
		}
		if len(c.Parents) == maxParents {
			return nil, malformed("got more parents, want at most %d", maxParents)
		}
		c.Parents, headers = append(c.Parents, headers[0].value), headers[1:]
	}
	return headers, nil
}

// people reads the author and the committer, which come next.
func (c *Commit) people(headers []header) ([]header, error) {
	for _, p := range []struct {
		key string
		to  *Person
	}{{"author", &c.Author}, {"committer", &c.Committer}} {
		if len(headers) == 0 || headers[0].key != p.key {
			return nil, malformed("want the %s after what comes before it", p.key)
		}
		var err error
		if *p.to, err = person(p.key, headers[0].value); err != nil {
			return nil, err
		}
		headers = headers[1:]
	}
	return headers, nil
}

// others looks at the rest, of which only the signature is of use here.
func (c *Commit) others(headers []header) error {
	seen := map[string]bool{}
	for _, h := range headers {
		switch h.key {
		case "tree", "parent", "author", "committer":
			return malformed("got a second or misplaced %s", h.key)
		case "mergetag":
			continue // one for each merged tag
		case "gpgsig":
			if h.value == "" {
				return malformed("got an empty signature")
			}
			c.Signature = h.value + "\n"
		}
		if seen[h.key] {
			return malformed("got a second %s", strconv.Quote(printable(h.key)))
		}
		seen[h.key] = true
	}
	return nil
}

// person reads "NAME <EMAIL> SECONDS ZONE".
func person(key, s string) (Person, error) {
	name, rest, ok := strings.Cut(s, "<")
	email, rest, ok2 := strings.Cut(rest, ">")
	if !ok || !ok2 || strings.ContainsAny(email, "<\n") || strings.ContainsAny(name, ">\n") || name != "" && !strings.HasSuffix(name, " ") {
		return Person{}, malformed("the %s is not written NAME <EMAIL> TIME ZONE", key)
	}
	at, ok := stamp(rest)
	if !ok {
		return Person{}, malformed("the %s has no time in seconds and zone", key)
	}
	return Person{Name: printable(strings.TrimSpace(name)), Email: printable(email), Time: at}, nil
}

// stamp reads " SECONDS ZONE", the zone as +0100.
func stamp(s string) (time.Time, bool) {
	seconds, zone, ok := strings.Cut(strings.TrimPrefix(s, " "), " ")
	if !ok || s[0] != ' ' || len(zone) != 5 || zone[0] != '+' && zone[0] != '-' || !digits(zone[1:]) || !digits(seconds) {
		return time.Time{}, false
	}
	// Twelve digits are the year 33658: what comes later overflows other readers.
	if len(seconds) > 12 || len(seconds) > 1 && seconds[0] == '0' {
		return time.Time{}, false
	}
	n, _ := strconv.ParseInt(seconds, 10, 64)
	hours, _ := strconv.Atoi(zone[1:3])
	minutes, _ := strconv.Atoi(zone[3:])
	offset := hours*3600 + minutes*60
	if zone[0] == '-' {
		offset = -offset
	}
	return time.Unix(n, 0).In(time.FixedZone("", offset)), true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// printable makes a stranger's text fit to show: an encoding other than UTF-8,
// and control characters, become spaces or marks.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	for len(s) > maxText {
		r := []rune(s[:maxText])
		s = strings.TrimSuffix(string(r[:len(r)-1]), "\uFFFD")
	}
	return s
}
