package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \t\n", nil},
		{"a", []string{"a"}},
		{"  a  b\tc\nd ", []string{"a", "b", "c", "d"}},
		{`'a b' "c d"`, []string{"a b", "c d"}},
		{`a'b'"c"d`, []string{"abcd"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b \\ \'`, []string{"a b", `\`, "'"}},
		{`'a\b'`, []string{`a\b`}},
		{`"a\"b\\c\$d\e"`, []string{`a"b\c$d\e`}},
		{`"it's"`, []string{"it's"}},
		{`--url=http://x/?a=1&b=2;c|d`, []string{"--url=http://x/?a=1&b=2;c|d"}},
		{`$HOME ~ *`, []string{"$HOME", "~", "*"}},
		{`sh -c 'a && b' '|' \;`, []string{"sh", "-c", "a && b", "|", ";"}},
		{"größe 日本", []string{"größe", "日本"}},
	}
	for _, tt := range tests {
		got, err := splitWords(tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("splitWords(%q): %v %s", tt.text, err, diff)
		}
	}
}

func TestSplitWordsFaults(t *testing.T) {
	for text, want := range map[string]string{
		`'a`: "quote '", `a "b`: `quote "`, `a\`: "backslash", `"a\`: "quote",
		"a && b": "no &&", "a || b": "no ||", "a | b": "no |", "a ; b": "no ;", "a &": "no &",
		"a > b": "no >", "a >> b": "no >>", "a < b": "no <", "a 2>&1": "no 2>&1",
	} {
		if got, err := splitWords(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("splitWords(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}
