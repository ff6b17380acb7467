package strictyaml

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// maxDepth bounds nesting, so that brackets without end cannot exhaust the
// stack. The deepest field of any file has depth 7.
const maxDepth = 16

// maxFaults bounds how many faults are kept, so that a file of rubbish is not
// answered with a list of the same size. It is what a peer may send, see
// status.FromPeer.
const maxFaults = 64

// Fault is one thing wrong with one field. It converts to a status.Fault.
type Fault struct {
	Field     string
	Got, Want string
	Line      int
}

// Doc is one document that is being read. It collects faults.
type Doc struct {
	faults []Fault
	places map[string]Node
	failed map[string]bool
}

// Parse reads data, which may be at most limit bytes. What stops it from being
// read at all is in the document's faults, and the root is then empty.
func Parse(data []byte, limit int) (*Doc, Node) {
	d := &Doc{places: map[string]Node{}, failed: map[string]bool{}}
	if len(data) > limit {
		d.add("file", fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d bytes", limit), 0)
		return d, Node{}
	}
	doc, err := load(data)
	switch {
	case errors.Is(err, io.EOF):
		d.add("file", "an empty file", "a mapping", 0)
		return d, Node{}
	case err != nil:
		line, text := syntaxError(err)
		d.add("syntax", text, "valid YAML, one document", line)
		return d, Node{}
	}
	if len(doc.Content) != 1 {
		d.add("file", "an empty file", "a mapping", 0)
		return d, Node{}
	}
	root := doc.Content[0]
	if d.clean(root, "", 1); root.Kind == 0 {
		return d, Node{}
	}
	return d, Node{yaml: root}
}

var errDocuments = errors.New("a second document")

// load recovers because the YAML parser has panicked on hostile input before.
func load(data []byte) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, errors.New("text that the YAML parser cannot read")
		}
	}()
	doc = new(yaml.Node)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(doc); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); err == nil {
		return nil, errDocuments
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc, nil
}

var lineText = regexp.MustCompile(`^line (\d+): `)

func syntaxError(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := lineText.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	return line, short(text)
}

// clean refuses what no file may hold, wherever it stands, and takes it out of
// the tree: a removed value has kind 0, about which nothing more is said.
func (d *Doc) clean(n *yaml.Node, path string, depth int) {
	drop := func(got, want string) {
		d.add(cmp.Or(path, "syntax"), got, want, n.Line)
		*n = yaml.Node{Line: n.Line}
	}
	switch {
	case depth > maxDepth:
		drop("deep nesting", fmt.Sprintf("at most %d levels", maxDepth))
		return
	case n.Kind == yaml.AliasNode:
		drop("alias *"+short(n.Value), "the value itself")
		return
	case n.Anchor != "":
		d.add(cmp.Or(path, "syntax"), "anchor &"+short(n.Anchor), "no anchors", n.Line)
	case n.Style&yaml.TaggedStyle != 0:
		drop("tag "+short(n.Tag), "no tags")
		return
	}
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			d.clean(c, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	kept := n.Content[:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind == yaml.ScalarNode && k.Tag == "!!merge":
			d.add(join(path, "<<"), "merge key <<", "the fields themselves", k.Line)
			continue
		case k.Kind != yaml.ScalarNode || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0:
			d.add(cmp.Or(path, "syntax"), "a key that is not plain text", "a field name", k.Line)
			continue
		case seen[k.Value] != 0:
			d.add(join(path, k.Value), fmt.Sprintf("a second time, first on line %d", seen[k.Value]), "it once", k.Line)
			continue
		}
		seen[k.Value] = k.Line
		d.clean(v, join(path, k.Value), depth+1)
		kept = append(kept, k, v)
	}
	n.Content = kept
}

func (d *Doc) add(field, got, want string, line int) {
	d.failed[field] = true
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, Fault{Field: field, Got: got, Want: want, Line: line})
	}
}

// Faults returns all that is wrong, by line.
func (d *Doc) Faults() []Fault {
	slices.SortStableFunc(d.faults, func(a, b Fault) int { return a.Line - b.Line })
	return d.faults
}
