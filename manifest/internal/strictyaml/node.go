package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// maxShown bounds, in bytes, how much of a value a fault repeats.
const maxShown = 60

// Node is a value and the path that leads to it.
type Node struct {
	// Path is such as "containers[0].image"; the root's is empty.
	Path string
	yaml *yaml.Node
	// line is the key's, for a value of a mapping.
	line int
}

// Line is where the value starts, or its key does, from 1; 0 when unknown.
func (n Node) Line() int {
	switch {
	case n.line > 0:
		return n.line
	case n.yaml != nil:
		return n.yaml.Line
	}
	return 0
}

// IsScalar, IsList and IsMap tell the form of a value. All are false for a
// value that was already refused.
func (n Node) IsScalar() bool { return n.is(yaml.ScalarNode) && n.yaml.Tag != "!!null" }

// IsList is described at [Node.IsScalar].
func (n Node) IsList() bool { return n.is(yaml.SequenceNode) }

// IsMap is described at [Node.IsScalar].
func (n Node) IsMap() bool { return n.is(yaml.MappingNode) }

func (n Node) is(k yaml.Kind) bool { return n.yaml != nil && n.yaml.Kind == k }

// form names the kind of a value without repeating it: it may be a secret.
func (n Node) form() string {
	switch {
	case n.IsList():
		return "a list"
	case n.IsMap():
		return "a mapping"
	case !n.IsScalar():
		return "nothing"
	case n.yaml.Tag == "!!str":
		return "text"
	case n.yaml.Tag == "!!bool":
		return "true or false"
	}
	return "a number"
}

// Shown repeats a scalar, quoted and shortened, and names the form of others.
func (n Node) Shown() string {
	if n.IsScalar() {
		return Quote(n.yaml.Value)
	}
	return n.form()
}

// Quote makes s printable and short.
func Quote(s string) string { return strconv.Quote(short(s)) }

func short(s string) string {
	if len(s) <= maxShown {
		return s
	}
	s = s[:maxShown]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_./-]{1,80}$`)

func key(k string) string {
	if plainKey.MatchString(k) {
		return k
	}
	return Quote(k)
}

func join(path, k string) string {
	if path == "" {
		return key(k)
	}
	return path + "." + key(k)
}

// Refuse notes a fault of n. A value that was already refused gets no second one.
func (d *Doc) Refuse(n Node, got, want string) {
	if n.yaml != nil && n.yaml.Kind == 0 {
		return
	}
	field := n.Path
	if field == "" {
		field = "file"
	}
	d.add(field, got, want, n.Line())
}

// RefuseField notes a fault of a field of n, which may be missing.
func (d *Doc) RefuseField(n Node, field, got, want string) {
	d.add(join(n.Path, field), got, want, n.Line())
}

// List returns the elements of a list, at most limit of them.
func (d *Doc) List(n Node, limit int) []Node {
	if !n.IsList() {
		d.Refuse(n, n.form(), "a list")
		return nil
	}
	if len(n.yaml.Content) > limit {
		d.Refuse(n, fmt.Sprintf("%d elements", len(n.yaml.Content)), fmt.Sprintf("at most %d", limit))
	}
	out := make([]Node, 0, min(limit, len(n.yaml.Content)))
	for i, c := range n.yaml.Content[:min(limit, len(n.yaml.Content))] {
		e := Node{Path: fmt.Sprintf("%s[%d]", n.Path, i), yaml: c}
		d.Place(e.Path, e)
		out = append(out, e)
	}
	return out
}

// Entry is one field of a mapping.
type Entry struct {
	Key   string
	Value Node
}

// Map returns the entries of a mapping in the order of the file, at most limit.
func (d *Doc) Map(n Node, limit int) []Entry {
	if !n.IsMap() {
		d.Refuse(n, n.form(), "a mapping")
		return nil
	}
	count := len(n.yaml.Content) / 2
	if count > limit {
		d.Refuse(n, fmt.Sprintf("%d fields", count), fmt.Sprintf("at most %d", limit))
	}
	out := make([]Entry, 0, min(limit, count))
	for i := range min(limit, count) {
		k, v := n.yaml.Content[2*i], n.yaml.Content[2*i+1]
		e := Node{Path: join(n.Path, k.Value), yaml: v, line: k.Line}
		d.Place(e.Path, e)
		out = append(out, Entry{Key: k.Value, Value: e})
	}
	return out
}

// String returns text without control characters. Numbers must be quoted.
func (d *Doc) String(n Node) (string, bool) {
	if !n.IsScalar() || n.yaml.Tag != "!!str" {
		d.Refuse(n, n.Shown(), "text (quote a number)")
		return "", false
	}
	return d.printable(n, "")
}

// Word returns a scalar as it stands in the source: text, a number, true.
func (d *Doc) Word(n Node) (string, bool) {
	if !n.IsScalar() {
		d.Refuse(n, n.form(), "text or a number")
		return "", false
	}
	return d.printable(n, "")
}

// Text is [Doc.Word] with line breaks and tabs allowed.
func (d *Doc) Text(n Node) (string, bool) {
	if !n.IsScalar() {
		d.Refuse(n, n.form(), `text, a number, true or false (write "" for nothing)`)
		return "", false
	}
	return d.printable(n, "\n\r\t")
}

func (d *Doc) printable(n Node, allowed string) (string, bool) {
	s := n.yaml.Value
	if !utf8.ValidString(s) {
		d.Refuse(n, "bytes that are not UTF-8", "text")
		return "", false
	}
	for _, r := range s {
		if unicode.IsControl(r) && !strings.ContainsRune(allowed, r) {
			d.Refuse(n, fmt.Sprintf("control character %U", r), "text without it")
			return "", false
		}
	}
	return s, true
}

// Bool returns true or false; yes, on and 1 are not accepted.
func (d *Doc) Bool(n Node) bool {
	v, err := strconv.ParseBool(scalar(n, "!!bool"))
	if err != nil {
		d.Refuse(n, n.Shown(), "true or false")
	}
	return v
}

// Uint returns a whole decimal number from low to high. It may be quoted.
func (d *Doc) Uint(n Node, low, high uint64) (uint64, bool) {
	s := scalar(n, "!!int", "!!str")
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v < low || v > high || s[0] == '0' && len(s) > 1 {
		d.Refuse(n, n.Shown(), fmt.Sprintf("a number from %d to %d", low, high))
		return 0, false
	}
	return v, true
}

func scalar(n Node, tags ...string) string {
	for _, t := range tags {
		if n.IsScalar() && n.yaml.Tag == t {
			return n.yaml.Value
		}
	}
	return ""
}

// Scalar returns a scalar as the source has it, and its type in the core schema:
// "str", "int", "float", "bool" or "null". Both are empty for what is no scalar,
// and for what was refused.
func (n Node) Scalar() (kind, text string) {
	if !n.is(yaml.ScalarNode) {
		return "", ""
	}
	return strings.TrimPrefix(n.yaml.Tag, "!!"), n.yaml.Value
}
