package strictjson_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

var update = flag.Bool("update", false, "rewrite testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func invalid(t *testing.T, err error) *status.Error {
	t.Helper()
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.InvalidArgument {
		t.Fatalf("got %v, want an invalid_argument", err)
	}
	return e
}

// brokenTexts are the errors that people make, and some that only machines do.
var brokenTexts = []string{
	`{"name":`, ``, "  \n", "{\"name: \"x\"}", `{"name":"x, "b":1}`, `{"name":x"}`, `{name:"x"}`, "{\"name\":\"test\n}",
	`{"a":1,}`, `[1,]`, `[1,,2]`, "{\"a\":1,\n\"b\":2,\n}",
	`{'a':1}`, `{"a":'b'}`, `{“a”:1}`, "{\"a\":`b`}",
	"{\n  // hi\n  \"a\":1}", `{"a":1 /* x */}`, `{"a":1} # x`,
	"\ufeff{}", "{\"a\":\"\xff\"}", "{\"\xc3\x28\":1}",
	`{"a":NaN}`, `{"a":-Infinity}`, `[Infinity]`, `{"a":undefined}`, `{"a":True}`, `{"a":None}`, `[False]`,
	`{"a":1}{"b":2}`, `{"a":1} x`, `1 2`, `{"a":"b"}}`, "{\"a\":\"b\"}\x00",
	`{"a" 1}`, `{"a":1 "b":2}`, `[1 2]`, `["a" "b"]`, `{"a":"b" "c":1}`, `["a":1]`,
	"{\"a\":\"x\ny\"}", "{\"a\":\"x\ty\"}", "{\"a\":\"x\x01y\"}", `{"a":"\x"}`, `{"a":"\u12g4"}`,
	`{"a":01}`, `{"a":-01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":-x}`, `{"a":0x10}`, `{"a":1_000}`,
	`{"a":trux}`, `tru`, `trux`, `truex`, `-`,
	`{"a":"b`, `{"a":"b"`, `{"a":"b\`, `{"a":"\ud83d`, `{"a":1,`, `[1,`, `[1`, `[`, `{`, `{"a"`,
	`}`, `{]`, `{"a":}`, `{"a":[}`, `{"ä":"öö", x}`, `name: x`, `<html>`, `name=foo&runtime=static`,
}

// TestMalformed: the messages are what users see, so they are exact.
func TestMalformed(t *testing.T) {
	var out strings.Builder
	for _, text := range brokenTexts {
		_, err := strictjson.Parse([]byte(text), strictjson.Options{})
		e := invalid(t, err)
		fmt.Fprintf(&out, "%q\n\t%s\n", text, e.Error())
		if e.Reason != "json.malformed" || len(e.Faults) != 1 {
			t.Errorf("%q: %s, %d faults", text, e.Reason, len(e.Faults))
			continue
		}
		if f := e.Faults[0]; f.Field != "syntax" || f.Line < 1 || f.Got == "" || f.Want == "" || !strings.Contains(e.Detail, "got "+f.Got+", want "+f.Want) {
			t.Errorf("%q: %+v", text, f)
		}
		if decoded := strictjson.Decode([]byte(text), new(any), strictjson.Options{}); decoded.Error() != e.Error() {
			t.Errorf("%q: Decode says %v, Parse %v", text, decoded, e)
		}
	}
	golden(t, "malformed.golden", out.String())
}

// TestMalformedPlaces does not rely on the golden file.
func TestMalformedPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":`:               "line 1, column 9 (byte 8): got the end of the text, want a value after the colon, at `{\"name\": <here> `",
		`{'a':1}`:                "line 1, column 2 (byte 1): got a single quote, want a double quote: JSON has no other, at `{ <here> 'a':1}`",
		"{\"a\":1,\n\"b\":2,\n}": "line 3, column 1 (byte 15): got a comma before '}', want no comma after the last one, at ` <here> }`",
		`{"ä":"öö", x}`:          "line 1, column 12 (byte 14): got 'x', want a name in double quotes, at `{\"ä\":\"öö\",  <here> x}`",
		`{"long":"` + strings.Repeat("é", 40) + `" x ` + strings.Repeat("é", 40): "line 1, column 52 (byte 91): got 'x', want a comma or }; a double quote may be missing before, at `" + strings.Repeat("é", 11) + "\"  <here> x " + strings.Repeat("é", 11) + "`",
	} {
		_, err := strictjson.Parse([]byte(text), strictjson.Options{})
		if want = "malformed JSON at " + want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
