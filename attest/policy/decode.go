package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"apocryph/proto/status"
)

// maxFaults bounds how many faults of a file are listed; the rest would only scroll.
const maxFaults = 50

// decoder reads a YAML tree strictly and collects what is wrong with it.
type decoder struct {
	faults []status.Fault
	lines  map[string]int
}

func (d *decoder) fault(n *yaml.Node, path, got, want string) {
	d.faults = append(d.faults, status.Fault{Field: path, Got: got, Want: want, Line: n.Line})
}

// mapping returns the values of a mapping by key, in a form where every key is
// one of fields and none comes twice. What is not gives a fault and is left out.
func (d *decoder) mapping(n *yaml.Node, path string, fields ...string) map[string]*yaml.Node {
	values := map[string]*yaml.Node{}
	d.entries(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		if !slices.Contains(fields, key.Value) {
			want := "one of " + strings.Join(fields, ", ")
			if near := nearest(key.Value, fields); near != "" {
				want = near
			}
			d.fault(key, printable(at), "an unknown field", want)
			return
		}
		values[key.Value] = value
	})
	return values
}

// entries calls f with each key and value of a mapping, and notes their lines.
func (d *decoder) entries(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	name := path
	if name == "" {
		name = "policy"
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, name, describe(n), "a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			d.fault(key, name, describe(key), "a plain field name")
			continue
		}
		at := join(path, key.Value)
		if seen[key.Value] {
			d.fault(key, printable(at), "the field a second time", "it once")
			continue
		}
		seen[key.Value] = true
		d.lines[at] = key.Line
		f(key, value)
	}
}

// list calls f with each element of a sequence, which must not be empty.
func (d *decoder) list(n *yaml.Node, path string, f func(n *yaml.Node, path string)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, describe(n), "a list")
		return
	}
	if len(n.Content) == 0 {
		d.fault(n, path, "an empty list", "at least one element, or no such field")
	}
	for i, e := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = e.Line
		f(e, at)
	}
}

// text reads a scalar as it is written, whatever YAML would make of it.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		if n.Kind == yaml.ScalarNode {
			return n.Value, true
		}
	}
	d.fault(n, path, describe(n), "a text")
	return "", false
}

func (d *decoder) integer(n *yaml.Node, path string, low, high int) (int, bool) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		// One spelling only: a leading zero means octal to some, and 04 must not hide a second 4.
		if v, err := strconv.Atoi(n.Value); err == nil && v >= low && v <= high && strconv.Itoa(v) == n.Value {
			return v, true
		}
	}
	d.fault(n, path, describe(n), fmt.Sprintf("a whole number from %d to %d", low, high))
	return 0, false
}

func (d *decoder) boolean(n *yaml.Node, path string) bool {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true"
	}
	d.fault(n, path, describe(n), "true or false")
	return false
}

func (d *decoder) duration(n *yaml.Node, path string) time.Duration {
	s, ok := d.text(n, path)
	if !ok {
		return 0
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.fault(n, path, describe(n), "a duration such as 10m")
	}
	return v
}

// digits reads hexadecimal digits. want says how many bytes there should be;
// that is for validation to enforce where it depends on another field.
func (d *decoder) digits(n *yaml.Node, path, want string) []byte {
	s, ok := d.text(n, path)
	if !ok {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 {
		d.fault(n, path, describe(n), want)
		return nil
	}
	return b
}

func (d *decoder) fingerprints(n *yaml.Node, path string) [][32]byte {
	var list [][32]byte
	d.list(n, path, func(n *yaml.Node, path string) {
		s, ok := d.text(n, path)
		digits, tagged := strings.CutPrefix(s, "sha256:")
		b, err := hex.DecodeString(digits)
		if !tagged || err != nil || len(b) != 32 {
			if ok {
				d.fault(n, path, describe(n), "sha256: and 64 hexadecimal digits")
			}
			b = make([]byte, 32)
		}
		list = append(list, [32]byte(b))
	})
	return list
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe is what a node is, short enough for one line.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Value == "" || n.ShortTag() == "!!null" {
		return "nothing"
	}
	return strconv.Quote(printable(n.Value))
}
