package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// place is a position in a text; line and column count from 1, the column in
// characters.
type place struct{ line, column int }

func placeOf(b []byte, at int) place {
	before := string(b[:at])
	start := strings.LastIndexByte(before, '\n') + 1
	return place{strings.Count(before, "\n") + 1, len([]rune(before[start:])) + 1}
}

// maxExcerpt bounds, in bytes, what is shown on each side of a syntax error.
const maxExcerpt = 24

// excerpt is the line around an offset, with a mark at it.
func excerpt(b []byte, at int) string {
	before, after := string(b[max(0, at-maxExcerpt):at]), string(b[at:min(len(b), at+maxExcerpt)])
	before = before[strings.LastIndexByte(before, '\n')+1:]
	if i := strings.IndexByte(after, '\n'); i >= 0 {
		after = after[:i]
	}
	for len(before) > 0 && !utf8.RuneStart(before[0]) {
		before = before[1:]
	}
	for len(after) > 0 && !utf8.ValidString(after) && len(after) > maxExcerpt-utf8.UTFMax {
		after = after[:len(after)-1]
	}
	visible := func(s string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) && r != utf8.RuneError {
				return ' '
			}
			return r
		}, s)
	}
	return "`" + visible(before) + " <here> " + visible(after) + "`"
}

// malformed is the one fault of a text that is no JSON.
func malformed(b []byte, at int, got, want string) error {
	p := placeOf(b, at)
	e := status.New(status.InvalidArgument, "json.malformed", "malformed JSON at line %d, column %d (byte %d): got %s, want %s, at %s",
		p.line, p.column, at, got, want, excerpt(b, at))
	e.Faults = []status.Fault{{Field: "syntax", Got: got, Want: want, Line: p.line}}
	return e
}

// describe says what is wrong where encoding/json stopped. The byte before after
// is the offender, unless the text is at its end.
func describe(b []byte, after int) error {
	if strings.TrimLeft(string(b), " \t\r\n") == "" {
		return malformed(b, len(b), "an empty text", "a JSON value")
	}
	// The decoder, unlike Unmarshal, has an error of its own for a text that ended.
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(new(json.RawMessage)); errors.Is(err, io.ErrUnexpectedEOF) {
		s := scan(b)
		return s.ended(b)
	}
	at := min(max(0, after-1), len(b)-1)
	s := scan(b[:at])
	got, want := s.offender(b[at:])
	return malformed(b, at, got, want)
}

// state is what a prefix of JSON leaves open.
type state struct {
	stack []byte
	// text is set inside of a string that began at from; escape after a backslash.
	text, escape bool
	from         int
	// last is the last byte that is neither blank nor in a string; a quote stands
	// for a string.
	last byte
	// name is set when the last string was the name of a member.
	name bool
	// word is the number or literal that the prefix ends in.
	word string
}

func scan(b []byte) state {
	var s state
	for i, c := range b {
		switch {
		case s.escape:
			s.escape = false
		case s.text && c == '\\':
			s.escape = true
		case s.text && c == '"':
			s.text = false
		case s.text:
		case strings.IndexByte(" \t\r\n", c) >= 0:
			s.word = ""
		default:
			s.step(c, i)
		}
	}
	return s
}

func (s *state) step(c byte, at int) {
	s.word += string(c)
	switch c {
	case '{', '[':
		s.stack = append(s.stack, c)
	case '}', ']':
		s.stack = s.stack[:max(0, len(s.stack)-1)]
	case '"':
		s.text, s.from = true, at
		s.name = s.in('{') && (s.last == '{' || s.last == ',')
	}
	if strings.IndexByte(`{}[]",:`, c) >= 0 {
		s.word = ""
	}
	s.last = c
}

func (s *state) in(bracket byte) bool {
	return len(s.stack) > 0 && s.stack[len(s.stack)-1] == bracket
}

func (s *state) ended(b []byte) error {
	const end = "the end of the text"
	switch {
	case s.text:
		p := placeOf(b, s.from)
		return malformed(b, len(b), end+" in a string", fmt.Sprintf("a double quote that ends the string begun at line %d, column %d", p.line, p.column))
	case s.last == ':':
		return malformed(b, len(b), end, "a value after the colon")
	case s.last == '"' && s.name:
		return malformed(b, len(b), end, "a colon and a value after the name")
	case s.last == ',' && s.in('{'):
		return malformed(b, len(b), end, "another name after the comma, and a closing }")
	case s.last == ',':
		return malformed(b, len(b), end, "another value after the comma, and a closing ]")
	case s.in('{'):
		return malformed(b, len(b), end, "a closing }")
	case s.in('['):
		return malformed(b, len(b), end, "a closing ]")
	}
	return malformed(b, len(b), end, "the rest of a value")
}

// literals are what other languages write where JSON has a value.
var literals = []struct{ text, got, want string }{
	{"NaN", "NaN", "a number, or null"},
	{"Infinity", "Infinity", "a number, or null"},
	{"undefined", "undefined", "null, or no member at all"},
	{"True", "True", "true"},
	{"False", "False", "false"},
	{"None", "None", "null"},
}

// offender names what rest begins with, after the prefix s, and what should
// stand there.
func (s *state) offender(rest []byte) (got, want string) {
	r, _ := utf8.DecodeRune(rest)
	got = strconv.QuoteRune(r)
	want = s.expected()
	switch {
	case s.escape:
		return `\` + got + " in a string", `one of the escapes \" \\ \/ \b \f \n \r \t \uXXXX`
	case s.text && (r == '\n' || r == '\r'):
		return "a line break in a string", `a double quote before it, or \n`
	case s.text && r == '\t':
		return "a tab in a string", `\t`
	case s.text && r < ' ':
		return fmt.Sprintf("the control character %U in a string", r), fmt.Sprintf(`\u%04x`, r)
	case s.text:
		return got + " in an escape", `\u and four hexadecimal digits`
	case r == '\'':
		return "a single quote", "a double quote: JSON has no other"
	case strings.HasPrefix(string(rest), "//"), strings.HasPrefix(string(rest), "/*"), r == '#':
		return "a comment", want + ": JSON has no comments"
	case (s.word == "0" || s.word == "-0") && r >= '0' && r <= '9':
		return got + " after a zero", "a number without a zero in front"
	case s.last == ',' && (r == '}' || r == ']'):
		return "a comma before " + got, "no comma after the last one"
	case s.last == ',' && r == ',':
		return "a second comma", want
	case r == '“' || r == '”' || r == '‘' || r == '’':
		return "a typographic quote " + got, `a double quote "`
	}
	for _, l := range literals {
		if s.value() && strings.HasPrefix(string(rest), l.text) {
			return l.got, l.want
		}
		if s.last == '-' && l.text == "Infinity" && strings.HasPrefix(string(rest), l.text) {
			return "-Infinity", l.want
		}
	}
	if s.value() && unicode.IsLetter(r) {
		want += "; text stands in double quotes"
	}
	return got, want
}

// value reports whether a value must follow.
func (s *state) value() bool {
	return s.last == 0 || s.last == ':' || s.in('[') && (s.last == '[' || s.last == ',')
}

// expected names what may follow the prefix.
func (s *state) expected() string {
	switch {
	case s.word != "" && strings.IndexByte("-+.eE", s.last) >= 0 && strings.IndexByte("-0123456789", s.word[0]) >= 0:
		return "a digit"
	case s.word != "" && strings.Trim(s.word, "aeflnrstu") == "" && s.word != "true" && s.word != "false" && s.word != "null":
		return "true, false or null; text stands in double quotes"
	case s.in('[') && s.last == '[':
		return "a value or ]"
	case s.value():
		return "a value"
	case s.in('{') && s.last == '{':
		return "a name in double quotes, or }"
	case s.in('{') && s.last == ',':
		return "a name in double quotes"
	case s.last == '"' && s.name:
		return "a colon after the name; a double quote may be missing before"
	case len(s.stack) == 0:
		return "nothing after the JSON"
	}
	want := "a comma or ]"
	if s.in('{') {
		want = "a comma or }"
	}
	if s.last == '"' {
		want += "; a double quote may be missing before"
	}
	return want
}
