package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"apocryph/proto/status"
)

// parse checks the bytes, then the grammar, then builds the tree. The faults
// are those that do not keep the tree from being built.
func parse(b []byte, o Options) (*Value, []status.Fault, error) {
	if len(b) > o.MaxBytes {
		return nil, nil, status.New(status.InvalidArgument, "json.too_large", "the JSON has %d bytes, at most %d are allowed", len(b), o.MaxBytes)
	}
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return nil, nil, malformed(b, 0, "a byte order mark", "JSON from the first byte on")
	}
	if at := invalidUTF8(b); at >= 0 {
		return nil, nil, malformed(b, at, fmt.Sprintf("the byte 0x%02x, which is not UTF-8", b[at]), "text in UTF-8")
	}
	if at, got, want := outOfBounds(b, o); at >= 0 {
		return nil, nil, status.Invalid("json.invalid", "the JSON", []status.Fault{{
			Field: whole, Got: got, Want: want, Line: placeOf(b, at).line,
		}})
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return nil, nil, describe(b, int(syntax.Offset))
	} else if err != nil {
		return nil, nil, status.Wrap(err, status.InvalidArgument, "json.malformed", "malformed JSON")
	}
	t := tree{dec: json.NewDecoder(bytes.NewReader(b)), b: b, line: 1}
	t.dec.UseNumber()
	root := t.value("", t.next())
	return &root, t.faults, nil
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// outOfBounds returns where nesting or the number of values goes over its limit,
// or -1. It runs before the grammar is known to be right and counts brackets and
// commas outside of strings: a value follows one or the other. That is exact for
// JSON, but for empty brackets, and good enough to refuse anything else.
func outOfBounds(b []byte, o Options) (at int, got, want string) {
	depth, values, text := 0, 1, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
			values++
		case c == ',':
			values++
		case c == '}' || c == ']':
			depth--
		}
		if depth > o.MaxDepth {
			return i, "deep nesting", fmt.Sprintf("at most %d levels", o.MaxDepth)
		}
		if values > o.MaxValues {
			return i, "too many values", fmt.Sprintf("at most %d", o.MaxValues)
		}
	}
	return -1, "", ""
}

// tree builds a Value from tokens. The text is known to be JSON.
type tree struct {
	dec    *json.Decoder
	b      []byte
	faults []status.Fault
	// at and line are the offset and line that was counted to.
	at, line int
}

// token is one token, its offset and its line.
type token struct {
	json.Token
	start, line int
}

func (t *tree) next() token {
	start := int(t.dec.InputOffset())
	tok, err := t.dec.Token()
	if err != nil {
		// The grammar was checked: this is a bug, and fuzzing looks for it.
		panic("strictjson: " + err.Error())
	}
	for strings.IndexByte(" \t\r\n,:", t.b[start]) >= 0 {
		start++
	}
	t.line += bytes.Count(t.b[t.at:start], []byte("\n"))
	t.at = start
	return token{tok, start, t.line}
}

func (t *tree) value(pointer string, tok token) Value {
	v := Value{Pointer: pointer, Line: tok.line}
	switch x := tok.Token.(type) {
	case nil:
		v.Kind, v.Text = Null, "null"
	case bool:
		v.Kind, v.Text = Bool, fmt.Sprint(x)
	case json.Number:
		v.Kind, v.Text = Number, x.String()
	case string:
		v.Kind, v.Text = String, x
		t.surrogates(&v, tok.start)
	case json.Delim:
		if v.Kind = List; x == '{' {
			v.Kind = Object
		}
		seen := map[string]int{}
		for t.dec.More() {
			if v.Kind == List {
				v.Elems = append(v.Elems, t.value(index(pointer, len(v.Elems)), t.next()))
				continue
			}
			t.member(&v, seen)
		}
		t.next()
	}
	v.raw = t.b[tok.start:t.dec.InputOffset()]
	return v
}

func (t *tree) member(v *Value, seen map[string]int) {
	tok := t.next()
	name, _ := tok.Token.(string)
	key := Value{Pointer: Join(v.Pointer, name), Line: tok.line}
	t.surrogates(&key, tok.start)
	m := Member{Name: name, Value: t.value(key.Pointer, t.next())}
	m.Value.Line = tok.line
	if first := seen[name]; first > 0 {
		t.refuse(key, fmt.Sprintf("a second time, first on line %d", first), "it once")
		return
	}
	seen[name] = tok.line
	v.Members = append(v.Members, m)
}

func (t *tree) refuse(v Value, got, want string) {
	if len(t.faults) < maxFaults {
		t.faults = append(t.faults, v.Fault(got, want))
	}
}

// surrogates refuses a half of a surrogate pair, which encoding/json replaces.
func (t *tree) surrogates(v *Value, start int) {
	raw := t.b[start:t.dec.InputOffset()]
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		unit := hex4(raw[i+1:])
		i += 4
		switch {
		case unit < 0xd800 || unit > 0xdfff:
		case unit < 0xdc00 && i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' && hex4(raw[i+3:])&^0x3ff == 0xdc00:
			i += 6
		default:
			t.refuse(*v, fmt.Sprintf(`\u%04x, half of a surrogate pair`, unit), "both halves, or the character itself")
			return
		}
	}
}

// hex4 reads four hexadecimal digits, which are there.
func hex4(b []byte) int {
	n := 0
	for _, c := range b[:4] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		n = n<<4 | int(c)
	}
	return n
}
