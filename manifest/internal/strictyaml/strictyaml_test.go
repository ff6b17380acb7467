package strictyaml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type pair struct {
	A, B string
	On   bool
	N    uint64
}

var pairTable = Table[pair]{
	Fields: []Field[pair]{
		{Name: "alpha", Required: true, Set: func(d *Doc, n Node, p *pair) { p.A, _ = d.String(n) }},
		{Name: "beta", Set: func(d *Doc, n Node, p *pair) { p.B, _ = d.Text(n) }},
		{Name: "b", For: "beta", Set: func(d *Doc, n Node, p *pair) { p.B, _ = d.Text(n) }},
		{Name: "on", Set: func(d *Doc, n Node, p *pair) { p.On = d.Bool(n) }},
		{Name: "n", Set: func(d *Doc, n Node, p *pair) { p.N, _ = d.Uint(n, 1, 9) }},
	},
	Elsewhere: func(name string) string {
		if name == "gamma" {
			return "it somewhere else"
		}
		return ""
	},
	Other: func(d *Doc, name string, n Node, p *pair) bool {
		v, _ := d.Word(n)
		p.B = v
		return name == "x/y"
	},
}

func read(text string) (pair, []string) {
	d, root := Parse([]byte(text), 1000)
	var p pair
	if len(d.Faults()) == 0 || root.IsMap() {
		pairTable.Read(d, root, &p)
	}
	var out []string
	for _, f := range d.Faults() {
		out = append(out, strings.Join([]string{f.Field, f.Got, f.Want}, " | "))
	}
	return p, out
}

func TestRead(t *testing.T) {
	for text, want := range map[string]pair{
		"alpha: x":                          {A: "x"},
		"{\"alpha\": \"x\",\n\t\"n\": 9}":   {A: "x", N: 9},
		"alpha: x\nbeta: |\n  l1\n  l2\n":   {A: "x", B: "l1\nl2\n"},
		"alpha: x\nb: 1.10\non: true\nn: 1": {A: "x", B: "1.10", On: true, N: 1},
		"alpha: ''\nx/y: 2026-01-01":        {B: "2026-01-01"},
		"%YAML 1.1\n---\nalpha: x\n...\n":   {A: "x"},
		"\ufeffalpha: x":                    {A: "x"},
	} {
		got, faults := read(text)
		if diff := cmp.Diff(want, got); diff != "" || faults != nil {
			t.Errorf("%q: %v %s", text, faults, diff)
		}
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", []string{"file | an empty file | a mapping"}},
		{"a: b: c", []string{"syntax | mapping values are not allowed in this context | valid YAML, one document"}},
		{"alpha: \"\\q\"", []string{"syntax | found unknown escape character | valid YAML, one document"}},
		{"alpha: x\x01", []string{"syntax | control characters are not allowed | valid YAML, one document"}},
		{strings.Repeat("#", 1001), []string{"file | 1001 bytes | at most 1000 bytes"}},
		{"*a", []string{"syntax | unknown anchor 'a' referenced | valid YAML, one document"}},
		{"!!map {alpha: x}", []string{"syntax | tag !!map | no tags"}},
		{"alpha: &x y", []string{"alpha | anchor &x | no anchors"}},
		{"alpha: x\nb: y\nbeta: z", []string{"beta | beta as well | only one of the names of beta"}},
		{"alpha: x\ngamma: y", []string{`gamma | unknown field "gamma" | it somewhere else`}},
		{"alpha: x\nalhpa: y", []string{`alhpa | unknown field "alhpa", did you mean "alpha"? | `}},
		{"alpha: x\nzzz: y", []string{`zzz | unknown field "zzz" | one of alpha, beta, on, n`}},
		{"alpha: [x]", []string{"alpha | a list | text (quote a number)"}},
		{"alpha: true", []string{`alpha | "true" | text (quote a number)`}},
		{"alpha: x\nb: {}", []string{`b | a mapping | text, a number, true or false (write "" for nothing)`}},
		{"alpha: x\nx/y: []", []string{"x/y | a list | text or a number"}},
		{"alpha: x\non: yes", []string{`on | "yes" | true or false`}},
		{"alpha: x\non: True", nil},
		{"alpha: x\nn: 0x5", []string{`n | "0x5" | a number from 1 to 9`}},
		{"alpha: x\nn: 05", []string{`n | "05" | a number from 1 to 9`}},
		{"alpha: x\nn: [1]", []string{"n | a list | a number from 1 to 9"}},
		{"beta: " + strings.Repeat("é", 50) + "\non: " + strings.Repeat("é", 50), []string{
			`alpha | nothing | a value: it is required`,
			`on | "` + strings.Repeat("é", 30) + `…" | true or false`,
		}},
	}
	for _, tt := range tests {
		if _, got := read(tt.text); !cmp.Equal(tt.want, got) {
			t.Errorf("%q: %s", tt.text, cmp.Diff(tt.want, got))
		}
	}
}

func TestLimits(t *testing.T) {
	d, root := Parse([]byte("a: [1, 2, 3]\nb: {x: 1, y: 2}\nc: 5"), 100)
	entries := d.Map(root, 9)
	if got := len(d.List(entries[0].Value, 2)); got != 2 {
		t.Errorf("%d elements", got)
	}
	if got := len(d.Map(entries[1].Value, 1)); got != 1 {
		t.Errorf("%d fields", got)
	}
	if d.List(entries[2].Value, 9) != nil || d.Map(entries[2].Value, 9) != nil {
		t.Error("a number is a list")
	}
	want := []Fault{
		{"a", "3 elements", "at most 2", 1},
		{"b", "2 fields", "at most 1", 2},
		{"c", "a number", "a list", 3},
		{"c", "a number", "a mapping", 3},
	}
	if diff := cmp.Diff(want, d.Faults()); diff != "" {
		t.Error(diff)
	}
}

func TestMerge(t *testing.T) {
	d, root := Parse([]byte("a:\n  - x: 1\n  - y: 2\nb: 5\n"), 100)
	entries := d.Map(root, 9)
	list := d.List(entries[0].Value, 9)
	d.Place("list[0]", list[1])
	d.Place("short", entries[1].Value)
	d.Refuse(list[0], "this", "that")
	for _, field := range []string{"list[0].y", "list[0].y", "short.detail", "a[0].x", "a", "elsewhere.x", ""} {
		d.Merge(Fault{Field: field, Got: "g"})
	}
	want := []Fault{
		{"elsewhere.x", "g", "", 0},
		{"", "g", "", 0},
		{"a[0]", "this", "that", 2},
		{"a[1].y", "g", "", 3},
		{"b", "g", "", 4},
	}
	if diff := cmp.Diff(want, d.Faults()); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse: nothing that is refused is left in the tree, and faults are few
// and can be printed.
func FuzzParse(f *testing.F) {
	f.Add("a: &x [1, {b: *x}]\n<<: *x\n? [k]\n: !t v\na: 2\n---\n...")
	f.Add("{\"a\": \"\\u0000\"}")
	f.Fuzz(func(t *testing.T, text string) {
		d, root := Parse([]byte(text), 1<<16)
		var p pair
		pairTable.Read(d, root, &p)
		faults := d.Faults()
		if len(faults) > maxFaults {
			t.Fatalf("%d faults", len(faults))
		}
		for _, fault := range faults {
			if strings.ContainsAny(fault.Field+fault.Got+fault.Want, "\x00\x1b\n") {
				t.Fatalf("%+q", fault.Field+fault.Got+fault.Want)
			}
		}
	})
}
