package attendant

import (
	"strings"
	"testing"
)

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"", "2026-01-02T03:04:05.6Z stdout F text", "2026-01-02T03:04:05Z stderr P ", "x stdout F y", "2026-01-02T03:04:05Z  F "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, ok := ParseEntry(line)
		if !ok || strings.ContainsRune(string(line), '\n') {
			return
		}
		again, ok := ParseEntry([]byte(strings.TrimSuffix(string(AppendEntry(nil, e)), "\n")))
		if !ok || !again.At.Equal(e.At) || again.Stream != e.Stream || again.Partial != e.Partial || string(again.Text) != string(e.Text) {
			t.Errorf("%q became %+v, then %+v", line, e, again)
		}
	})
}
