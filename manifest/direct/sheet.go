package direct

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

// sheet is a document for [manifest.ParseFile] that is being written, one value a
// line. It remembers what each line came from.
type sheet struct {
	text  strings.Builder
	lines []place
}

// place is where the value of a line came from, and its path in the document.
type place struct {
	pointer string
	line    int
	path    string
}

// object, list and text make values that nobody sent. They stand at the place of
// the value that they follow from.
func object(at strictjson.Value, members ...strictjson.Member) strictjson.Value {
	return strictjson.Value{Kind: strictjson.Object, Pointer: at.Pointer, Line: at.Line, Members: members}
}

func array(at strictjson.Value, elems ...strictjson.Value) strictjson.Value {
	return strictjson.Value{Kind: strictjson.List, Pointer: at.Pointer, Line: at.Line, Elems: elems}
}

func text(at strictjson.Value, s string) strictjson.Value {
	return strictjson.Value{Kind: strictjson.String, Pointer: at.Pointer, Line: at.Line, Text: s}
}

func number(at strictjson.Value, n uint64) strictjson.Value {
	return strictjson.Value{Kind: strictjson.Number, Pointer: at.Pointer, Line: at.Line, Text: strconv.FormatUint(n, 10)}
}

// write is the document of v, which is read from the first line on.
func write(v strictjson.Value) *sheet {
	s := &sheet{}
	s.at(v, "")
	s.value(v, "")
	return s
}

// at notes that the value of the current line is v.
func (s *sheet) at(v strictjson.Value, path string) {
	s.lines = append(s.lines, place{v.Pointer, v.Line, path})
}

func (s *sheet) value(v strictjson.Value, path string) {
	switch v.Kind {
	case strictjson.String:
		s.text.WriteString(quote(v.Text))
	case strictjson.List:
		s.text.WriteString("[")
		for i, e := range v.Elems {
			s.text.WriteString("\n")
			at := fmt.Sprintf("%s[%d]", path, i)
			s.at(e, at)
			s.value(e, at)
			s.text.WriteString(",")
		}
		s.text.WriteString("]")
	case strictjson.Object:
		s.text.WriteString("{")
		for _, m := range v.Members {
			s.text.WriteString("\n")
			at := strings.TrimPrefix(path+"."+m.Name, ".")
			s.at(m.Value, at)
			// The mark lets a name be longer than the 1024 characters of YAML 1.2, 7.4.2.
			s.text.WriteString("? " + quote(m.Name) + " : ")
			s.value(m.Value, at)
			s.text.WriteString(",")
		}
		s.text.WriteString("}")
	default:
		s.text.WriteString(v.Text)
	}
}

// quote writes text that YAML reads as the same text: a YAML reader refuses some
// characters, and halves of surrogate pairs, that JSON allows.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

var step = regexp.MustCompile(`^(?:\.([A-Za-z0-9_./-]+?)|\[([0-9]+)\])(?:$|([.\[].*)$)`)

// shorthands are text that is written out as an object: nothing is below them.
var shorthands = []string{"/health_path", "/networking/health_path"}

// origin is f in the terms of the JSON: what the line was made of, and below it
// the rest of the path, for a field that is not there.
func (s *sheet) origin(f status.Fault) status.Fault {
	if f.Line < 1 || f.Line > len(s.lines) {
		// The document as a whole, such as its size.
		return (&strictjson.Value{Line: 1}).Fault(f.Got, f.Want)
	}
	p := s.lines[f.Line-1]
	rest, ok := strings.CutPrefix(f.Field, p.path)
	if p.path == "" {
		rest, ok = "."+f.Field, f.Field != "file"
	}
	for ok && rest != "" {
		m := step.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		p.pointer = strictjson.Join(p.pointer, m[1]+m[2])
		rest = m[3]
	}
	for _, short := range shorthands {
		if strings.HasPrefix(p.pointer, short+"/") {
			p.pointer = short
		}
	}
	v := strictjson.Value{Pointer: p.pointer, Line: p.line}
	return v.Fault(f.Got, f.Want)
}
