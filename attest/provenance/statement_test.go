package provenance

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func TestRoundTrip(t *testing.T) {
	upload := sample()
	upload.Source, upload.Upload, upload.Binary, upload.SBOM, upload.Materials, upload.Parameters, upload.Argv = nil, digest("files"), "", "", nil, nil, nil
	fine := sample()
	fine.Finished = fine.Finished.Add(999 * time.Microsecond)
	if !bytes.Equal(encoded(t, fine), encoded(t, sample())) {
		t.Error("microseconds make another statement")
	}
	for name, b := range map[string]Build{"git": sample(), "upload": upload} {
		got, payload, err := Open(signed(t, b), public())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(b, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if Digest(payload) != Digest(encoded(t, b)) {
			t.Errorf("%s: another digest", name)
		}
	}
}

// TestGolden has the bytes that other implementations must read.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "provenance.json")
	got := signed(t, sample())
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(encoded(t, sample()))
	edit := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, tt := range map[string]struct{ payload, reason string }{
		"nothing":                 {"", "provenance.parse"},
		"a list":                  {"[]", "provenance.parse"},
		"white space":             {good + "\n", "provenance.parse"},
		"two statements":          {good + good, "provenance.parse"},
		"a field more":            {edit(`"predicate":{`, `"predicate":{"x":1,`), "provenance.parse"},
		"a field twice":           {edit(`"runtime":"static"`, `"runtime":"other","runtime":"static"`), "provenance.parse"},
		"another case":            {edit(`"runtime"`, `"Runtime"`), "provenance.parse"},
		"another order":           {edit(`"a":"\u003c1\u003e","b":"2\nlines"`, `"b":"2\nlines","a":"\u003c1\u003e"`), "provenance.parse"},
		"an escape":               {edit(`static`, `\u0073tatic`), "provenance.parse"},
		"another statement type":  {edit("Statement/v1", "Statement/v2"), "provenance.parse"},
		"another predicate":       {edit("provenance/v1", "provenance/v2"), "provenance.parse"},
		"another build type":      {edit("urn:apocryph:build:0.0.1", "urn:apocryph:build:0.0.2"), "provenance.parse"},
		"no subject":              {edit(`"subject":[`, `"subject":[],"x":[`), "provenance.parse"},
		"a subject of no name":    {edit(`"name":"binary"`, `"name":"binaries"`), "provenance.parse"},
		"a subject twice":         {edit(`"name":"binary"`, `"name":"manifest"`), "provenance.parse"},
		"a day that is none":      {edit("2026-11-21", "2026-11-31"), "provenance.parse"},
		"microseconds":            {edit("10:00:00.120Z", "10:00:00.120000Z"), "provenance.parse"},
		"source without object":   {edit(`"annotations"`, `"x"`), "provenance.parse"},
		"object not base64":       {edit(`"content":"`, `"content":"!`), "provenance.parse"},
		"object with line breaks": {edit(`"content":"dHJl`, `"content":"dHJl\n`), "provenance.parse"},
		"another repository":      {edit(`"repository":"https://github.com/o/r"`, `"repository":"https://github.com/o/s"`), "provenance.parse"},
		"another branch":          {edit(`"apocryph_branch":"refs/heads/main"`, `"apocryph_branch":"refs/heads/evil"`), "provenance.parse"},
		"another commit":          {edit(gitSays, strings.Repeat("0", 40)), "provenance.invalid"},
		"another tree":            {edit(`"apocryph_tree":"9b`, `"apocryph_tree":"9c`), "provenance.invalid"},
		"too large":               {good + strings.Repeat(" ", MaxStatement), "provenance.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Decode([]byte(tt.payload))
			refused(t, err, status.InvalidArgument, tt.reason)
			if b.ID != "" {
				t.Error("a build came out")
			}
			if _, err := Sign([]byte(tt.payload), key); err == nil {
				t.Error("it is signed")
			}
		})
	}
}

func TestEncodeRefusesLarge(t *testing.T) {
	b := sample()
	for len(b.Materials) < MaxMaterials {
		b.Materials = append(b.Materials, b.Materials[0])
	}
	b.Materials[0].URI = strings.Repeat("x", maxText)
	for i := range b.Materials[:200] {
		b.Materials[i].URI = strings.Repeat("x", maxText)
	}
	_, err := Encode(b)
	refused(t, err, status.InvalidArgument, "provenance.too_large")
}

// FuzzDecode reads statements as if their signature were good.
func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, sample()))
	b := sample()
	b.Source, b.Upload = nil, digest("files")
	f.Add(encoded(f, b))
	f.Add([]byte(`{"_type":"","subject":[],"predicateType":"","predicate":{}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := Decode(payload)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if again := encoded(t, b); !bytes.Equal(again, payload) {
			t.Fatalf("%s is read and written as %s", payload, again)
		}
		_ = b.Facts(payload)
	})
}
