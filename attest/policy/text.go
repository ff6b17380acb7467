package policy

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"apocryph/attest"
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339)
}

func fingerprint(f [32]byte) string { return "sha256:" + hex.EncodeToString(f[:]) }

func fingerprints(list [][32]byte) string {
	var s []string
	for _, f := range list {
		s = append(s, fingerprint(f))
	}
	return oneOf(s)
}

func joinLevels(list []attest.Level) string {
	var s []string
	for _, l := range list {
		s = append(s, string(l))
	}
	return oneOf(s)
}

func hexes(list [][]byte) string {
	var s []string
	for _, b := range list {
		s = append(s, hex.EncodeToString(b))
	}
	return oneOf(s)
}

// oneOf lists alternatives, shortened so that a check stays readable.
func oneOf(list []string) string {
	const most = 3
	switch {
	case len(list) == 0:
		return "nothing is accepted"
	case len(list) > most:
		return fmt.Sprintf("%s or one of %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, " or ")
}

// printable is oneLine, shortened so that a text which came from elsewhere
// cannot fill a log.
func printable(s string) string {
	const longest = 80
	s = oneLine(s)
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}

// oneLine replaces what could disturb a terminal or break the line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func quote(s string) string {
	if s == "" {
		return "nothing"
	}
	return strconv.Quote(printable(s))
}
