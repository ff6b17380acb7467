package strictjson_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/proto/strictjson"
)

type base struct {
	Name string `json:"name"`
}

type inner struct {
	Port  uint16   `json:"port"`
	Paths []string `json:"paths"`
}

type sample struct {
	base
	Count   int              `json:"count,omitempty"`
	Small   int8             `json:"small"`
	Rate    float32          `json:"rate"`
	On      *bool            `json:"on"`
	In      inner            `json:"in"`
	Ptr     *inner           `json:"ptr"`
	All     []inner          `json:"all"`
	ByName  map[string]inner `json:"by_name"`
	Labels  map[string]string
	Bytes   []byte           `json:"bytes"`
	Pair    [2]int           `json:"pair"`
	When    time.Time        `json:"when"`
	Addr    netip.Addr       `json:"addr"`
	Num     json.Number      `json:"num"`
	Any     any              `json:"any"`
	Raw     json.RawMessage  `json:"raw"`
	Tree    strictjson.Value `json:"tree"`
	Trees   []strictjson.Value
	Hidden  string `json:"-"`
	private string
}

var _ = sample{}.private

const fullSample = `{"name":"a","count":-3,"small":-128,"rate":1.5,"on":true,"in":{"port":80,"paths":["/","/x"]},"ptr":{"port":1},
 "all":[{"port":2},{"paths":[]}],"by_name":{"x":{"port":3}},"Labels":{"a/b":"c"},"bytes":"aGk=","pair":[1,2],
 "when":"2024-01-02T03:04:05Z","addr":"192.0.2.1","num":1.10,"any":{"a":[1,null,"x"]},"raw":{"b": 1},"tree":[1.10],"Trees":[true]}`

func TestDecode(t *testing.T) {
	var got sample
	if err := strictjson.Decode([]byte(fullSample), &got, strictjson.Options{}); err != nil {
		t.Fatal(err)
	}
	var want sample
	text := strings.NewReplacer(`,"tree":[1.10],"Trees":[true]`, "").Replace(fullSample)
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	opts := cmp.Options{
		cmp.AllowUnexported(sample{}, base{}), cmpopts.IgnoreFields(sample{}, "Tree", "Trees"),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Error(d)
	}
	if got.Tree.Kind != strictjson.List || got.Tree.Elems[0].Text != "1.10" || got.Tree.Elems[0].Pointer != "/tree/0" || got.Tree.Elems[0].Line != 3 {
		t.Errorf("tree %+v", got.Tree)
	}
	if len(got.Trees) != 1 || got.Trees[0].Text != "true" {
		t.Errorf("trees %+v", got.Trees)
	}
}

func TestDecodeFaults(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"another name", `{"nmae":"x"}`, `line 1: /nmae: got unknown field "nmae", did you mean "name"?`},
		{"another case", `{"Name":"x"}`, `line 1: /Name: got unknown field "Name", did you mean "name"?`},
		{"another case of a field without a tag", `{"labels":{}}`, `/labels: got unknown field "labels", did you mean "Labels"?`},
		{"no name near", `{"qwertyuiop":1}`, `/qwertyuiop: got unknown field "qwertyuiop", want one of name, count, small`},
		{"excluded", `{"Hidden":"x"}`, `/Hidden: got unknown field "Hidden"`},
		{"dash", `{"-":"x"}`, `/-: got unknown field "-"`},
		{"private", `{"private":"x"}`, `/private: got unknown field "private"`},
		{"embedded", `{"base":{}}`, `/base: got unknown field "base"`},
		{"nested unknown", `{"in":{"prot":1}}`, `/in/prot: got unknown field "prot", did you mean "port"?`},
		{"in a list", `{"all":[{},{"prot":1}]}`, `/all/1/prot: got unknown field "prot"`},
		{"in a map", `{"by_name":{"a/b~c":{"prot":1}}}`, `/by_name/a~1b~0c/prot: got unknown field "prot"`},
		{"behind a pointer", `{"ptr":{"prot":1}}`, `/ptr/prot: got unknown field`},
		{"twice", "{\"count\":1,\n\"count\":2}", "line 2: /count: got a second time, first on line 1, want it once"},
		{"twice after unescaping", `{"count":1,"\u0063ount":2}`, "/count: got a second time"},
		{"twice, deep in anything", `{"any":[{"a":{"b":1,"b":1}}]}`, "/any/0/a/b: got a second time"},
		{"twice in raw", `{"raw":{"b":1,"b":1}}`, "/raw/b: got a second time"},
		{"twice in a map", `{"Labels":{"b":"1","b":"1"}}`, "/Labels/b: got a second time"},
		{"empty name twice", `{"any":{"":1,"":1}}`, "/any/: got a second time"},
		{"number for text", `{"name":1}`, "/name: got a number, want text"},
		{"null for text", `{"name":null}`, "/name: got null, want text"},
		{"boolean for text", `{"name":true}`, "/name: got a boolean, want text"},
		{"text for number", `{"count":"1"}`, "/count: got text, want a whole number from -9223372036854775808 to 9223372036854775807"},
		{"fraction for whole", `{"count":1.0}`, "/count: got 1.0, want a whole number"},
		{"exponent for whole", `{"count":1e3}`, "/count: got 1e3, want a whole number"},
		{"too small", `{"small":-129}`, "/small: got -129, want a whole number from -128 to 127"},
		{"negative port", `{"in":{"port":-1}}`, "/in/port: got -1, want a whole number from 0 to 65535"},
		{"large port", `{"in":{"port":65536}}`, "/in/port: got 65536, want a whole number from 0 to 65535"},
		{"long number", `{"count":` + strings.Repeat("9", 500) + `}`, "/count: got " + strings.Repeat("9", 40) + "…, want"},
		{"large float", `{"rate":1e39}`, "/rate: got 1e39, want a number"},
		{"text for float", `{"rate":"1"}`, "/rate: got text, want a number"},
		{"text for boolean", `{"on":"true"}`, "/on: got text, want true or false"},
		{"number for boolean", `{"on":1}`, "/on: got a number, want true or false"},
		{"list for object", `{"in":[]}`, "/in: got a list, want an object"},
		{"null for object", `{"in":null}`, "/in: got null, want an object"},
		{"text for pointer", `{"ptr":"x"}`, "/ptr: got text, want an object"},
		{"object for list", `{"all":{}}`, "/all: got an object, want a list"},
		{"wrong element", `{"in":{"paths":["a",1]}}`, "/in/paths/1: got a number, want text"},
		{"list for map", `{"Labels":[]}`, "/Labels: got a list, want an object"},
		{"wrong value in a map", `{"Labels":{"a b":1}}`, "/Labels/a b: got a number, want text"},
		{"list for bytes", `{"bytes":[1]}`, "/bytes: got a list, want text in base64"},
		{"no base64", `{"bytes":"?"}`, "/bytes: got a value that does not fit, want text in base64"},
		{"no time", `{"when":"yesterday"}`, "/when: got text, want a valid time"},
		{"no address", `{"addr":"x"}`, "/addr: got text, want a valid addr"},
		{"number as text", `{"num":"1"}`, "/num: got text, want a number"},
		{"large number in anything", `{"any":1e999}`, "/any: got a value that does not fit"},
		{"half a pair", `{"name":"\ud83d"}`, `/name: got \ud83d, half of a surrogate pair, want both halves`},
		{"second half", `{"name":"x\uDE00"}`, `/name: got \ude00, half of a surrogate pair`},
		{"halves apart", `{"name":"\ud83d \ude00"}`, `/name: got \ud83d, half`},
		{"two first halves", `{"name":"\ud83d\ud83d"}`, `/name: got \ud83d, half`},
		{"half a pair in a name", `{"any":{"\ud83d":1}}`, `got \ud83d, half of a surrogate pair`},
		{"not an object", `[]`, "line 1: document: got a list, want an object"},
		{"null", `null`, "got null, want an object"},
		{"deep", `{"any":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "got deep nesting, want at most 32 levels"},
		{"deep and broken", strings.Repeat(`[{"a":`, 5000), "got deep nesting, want at most 32 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := invalid(t, strictjson.Decode([]byte(tt.text), new(sample), strictjson.Options{}))
			if e.Reason != "json.invalid" || len(e.Faults) != 1 {
				t.Fatalf("%s: %v", e.Reason, e.Faults)
			}
			if got := e.Faults[0].String(); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestAllFaults: all at once, in the order of the text but for doubles, and what
// is right is there.
func TestAllFaults(t *testing.T) {
	var s sample
	err := strictjson.Decode([]byte("{\"name\":\"ok\",\n\"count\":\"x\",\n\"in\":{\"port\":80,\"paths\":1},\n\"prt\":1,\n\"small\":1,\"small\":2}"), &s, strictjson.Options{})
	var got []string
	for _, f := range invalid(t, err).Faults {
		got = append(got, f.String())
	}
	want := []string{
		"line 5: /small: got a second time, first on line 5, want it once",
		"line 2: /count: got text, want a whole number from -9223372036854775808 to 9223372036854775807",
		"line 3: /in/paths: got a number, want a list",
		`line 4: /prt: got unknown field "prt", did you mean "ptr"?`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s.Name != "ok" || s.In.Port != 80 || s.Small != 1 {
		t.Errorf("stored %+v", s)
	}
	many := "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 1000), ",") + "}"
	if e := invalid(t, strictjson.Decode([]byte(many), &s, strictjson.Options{})); len(e.Faults) != 64 {
		t.Errorf("%d faults", len(e.Faults))
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		text   string
		opts   strictjson.Options
		reason string
	}{
		{`{"a":[]}`, strictjson.Options{MaxDepth: 2, MaxBytes: 8}, ""},
		{`{"a":[]}`, strictjson.Options{MaxDepth: 1}, "json.invalid"},
		{`{"a":[]}`, strictjson.Options{MaxBytes: 7}, "json.too_large"},
		{`{"a":"[{\"["}`, strictjson.Options{MaxDepth: 1}, ""},
		{`"` + strings.Repeat("x", 256<<10-2) + `"`, strictjson.Options{}, ""},
		{`"` + strings.Repeat("x", 256<<10-1) + `"`, strictjson.Options{}, "json.too_large"},
		{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strictjson.Options{MaxDepth: 1 << 20}, ""},
		{`[1,[],2]`, strictjson.Options{MaxValues: 5}, ""},
		{`[1,[],2]`, strictjson.Options{MaxValues: 4}, "json.invalid"},
		{`["[,,,"]`, strictjson.Options{MaxValues: 2}, ""},
		{"[" + strings.Repeat("1,", 20000) + "1]", strictjson.Options{}, "json.invalid"},
		{strings.Repeat("[", 1001) + strings.Repeat("]", 1001), strictjson.Options{MaxDepth: 1 << 20}, "json.invalid"},
	} {
		err := strictjson.Decode([]byte(tt.text), new(any), tt.opts)
		if tt.reason == "" && err != nil || tt.reason != "" && invalid(t, err).Reason != tt.reason {
			t.Errorf("%.20s: %v, want %q", tt.text, err, tt.reason)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("decoded into no pointer")
		}
	}()
	_ = strictjson.Decode([]byte(`{}`), sample{}, strictjson.Options{})
}

func TestValue(t *testing.T) {
	v, err := strictjson.Parse([]byte("{\"a\":\n{\"b/c\":[true,null]},\"a\\u001bz\":1}"), strictjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := v.Member("a")
	list := a.Member("b/c")
	var kinds []string
	for _, e := range []strictjson.Value{*v, a, list, list.Elems[0], list.Elems[1], v.Member("x"), v.Members[1].Value} {
		kinds = append(kinds, fmt.Sprintf("%s %s %d", e.Pointer, e.Kind, e.Line))
	}
	want := []string{" an object 1", "/a an object 1", "/a/b~1c a list 2", "/a/b~1c/0 a boolean 2", "/a/b~1c/1 null 2", "/x nothing 1", "/a\ufffdz a number 2"}
	if d := cmp.Diff(want, kinds); d != "" {
		t.Error(d)
	}
	if got := strictjson.Join("", strings.Repeat("é", 100)); len(got) > 140 || !strings.HasSuffix(got, "é…") {
		t.Errorf("long name: %q", got)
	}
	if tree, err := strictjson.Parse([]byte(`{"a":1,"a":2}`), strictjson.Options{}); err == nil || len(tree.Members) != 1 || tree.Member("a").Text != "1" {
		t.Errorf("double member: %+v, %v", tree, err)
	}
}
