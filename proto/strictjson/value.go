package strictjson

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// Kind is the type of a JSON value.
type Kind uint8

// The kinds. The zero Kind is that of a member that is not there.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	List
	Object
)

// String names the kind as faults do.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case String:
		return "text"
	case List:
		return "a list"
	case Object:
		return "an object"
	}
	return "nothing"
}

// Value is a JSON value and its place. As a field of a struct that [Decode]
// fills it takes any value as it stands.
type Value struct {
	Kind Kind
	// Pointer is the JSON pointer (RFC 6901); the root's is empty. Long names are
	// cut and what cannot be printed is replaced, so it is for people.
	Pointer string
	// Line counts from 1.
	Line int
	// Text is a string's text, a number's digits as they were sent, true or false.
	Text string
	// Elems are the elements of a list, Members those of an object in their order.
	Elems   []Value
	Members []Member

	raw []byte
}

// Member is one member of an object.
type Member struct {
	Name  string
	Value Value
}

// Member returns the member of an object, or one of the kind [Absent].
func (v *Value) Member(name string) Value {
	for _, m := range v.Members {
		if m.Name == name {
			return m.Value
		}
	}
	return Value{Pointer: Join(v.Pointer, name), Line: v.Line}
}

// whole stands for the empty pointer in faults.
const whole = "document"

// Fault is a fault of v. Its field is the pointer, and "document" for the root.
func (v *Value) Fault(got, want string) status.Fault {
	return status.Fault{Field: cmp.Or(v.Pointer, whole), Got: got, Want: want, Line: v.Line}
}

// maxToken bounds, in bytes, one name in a pointer.
const maxToken = 128

// escape writes a name as a reference token (RFC 6901, 3).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

// Join appends a reference token to a JSON pointer.
func Join(pointer, name string) string {
	return pointer + "/" + escape.Replace(printable(name, maxToken))
}

func index(pointer string, i int) string { return pointer + "/" + strconv.Itoa(i) }

// printable makes s fit for a terminal and at most limit bytes long.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}
