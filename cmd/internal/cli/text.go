package cli

import (
	"unicode"
	"unicode/utf8"
)

// Harmless makes text that a stranger wrote safe for a terminal: control
// characters, which can move the cursor or rename the window, become spaces.
func Harmless(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\t' || r != utf8.RuneError && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r):
			out = append(out, b[:n]...)
		default:
			out = append(out, ' ')
		}
		b = b[n:]
	}
	return out
}
