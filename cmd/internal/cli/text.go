package cli

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Harmless makes text that a stranger wrote safe for a terminal: control and
// format characters, which can move the cursor, rename the window or turn the
// direction of the text, become spaces. Tabs stay.
func Harmless(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == '\t' || !obeyed(r) && (r != utf8.RuneError || n > 1) {
			out = append(out, b[:n]...)
		} else {
			out = append(out, ' ')
		}
		b = b[n:]
	}
	return out
}

// Clean is [Harmless] for a text that shall stay in its cell of a table or its
// line: tabs become spaces too.
func Clean(s string) string {
	return strings.ReplaceAll(string(Harmless([]byte(s))), "\t", " ")
}

// CleanLines is [Clean] for each line of a text.
func CleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = Clean(l)
	}
	return strings.Join(lines, "\n")
}

// OrDash is s, or "-" for a cell that would be empty.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Count is a number with its noun: "1 check", "2 checks".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
