package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

type fuzzed struct {
	Name  string            `json:"name"`
	Count int16             `json:"count"`
	Rate  *float64          `json:"rate"`
	List  []fuzzed          `json:"list"`
	Map   map[string]string `json:"map"`
	Any   any               `json:"any"`
}

// FuzzDecode: nothing panics, faults are few and can be printed, and what is
// accepted encoding/json accepts with the same value.
func FuzzDecode(f *testing.F) {
	for _, text := range brokenTexts {
		f.Add([]byte(text))
	}
	for _, text := range []string{
		`{"name":"x","count":1,"rate":1.5,"list":[{"name":"y"}],"map":{"a":"b"},"any":[null,true,{"a":1}]}`,
		`{"name":"x","name":"y","map":{"a":1},"Count":1,"any":"\ud83d\ude00\ud83d"}`, `{"any":1e999}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same[fuzzed](t, b)
		same[any](t, b)
	})
}

func same[T any](t *testing.T, b []byte) {
	var got, want T
	err := strictjson.Decode(b, &got, strictjson.Options{})
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		return
	}
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.InvalidArgument {
		t.Fatal(err)
	}
	if e.Reason == "json.malformed" == (json.Valid(b) && !bytes.Contains([]byte(e.Detail), []byte("UTF-8"))) {
		t.Fatalf("%s for %q", e, b)
	}
	if e.Reason != "json.too_large" && (len(e.Faults) == 0 || len(e.Faults) > 64) {
		t.Fatalf("%d faults", len(e.Faults))
	}
	for _, fault := range e.Faults {
		if text := fault.String() + e.Detail; strings.IndexFunc(text, unicode.IsControl) >= 0 {
			t.Fatalf("%q", text)
		}
	}
}
