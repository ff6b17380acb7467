package dockerfile

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"apocryph/proto/status"
)

var amd64 = Platform{OS: "linux", Architecture: "amd64"}

func local(name string) string { return "local/" + name }

func TestImages(t *testing.T) {
	for name, tt := range map[string]struct {
		text     string
		images   []Image
		mounted  []string
		rendered string
	}{
		"scratch": {"FROM scratch\nCOPY a /a\n", nil, nil, "FROM scratch\nCOPY a /a\n"},
		"plain":   {"# a comment\n\nfrom python:3.12\nRUN x", []Image{{"python:3.12", 3}}, nil, "FROM local/python:3.12\nRUN x\n"},
		"argument": {
			"ARG V=3.12\nARG IMAGE=python:${V}\nFROM $IMAGE AS base\nARG V\nRUN echo $V\n",
			[]Image{{"python:3.12", 3}},
			nil, "ARG V=3.12\nARG IMAGE=python:${V}\nFROM local/python:3.12 AS base\nARG V\nRUN echo $V\n",
		},
		"quoted argument":  {"ARG V=\"3 12\" W='x'\nFROM a:${W}\n", []Image{{"a:x", 2}}, nil, "ARG V=\"3 12\" W='x'\nFROM local/a:x\n"},
		"default in place": {"FROM a:${V:-1}\n", []Image{{"a:1", 1}}, nil, "FROM local/a:1\n"},
		"no default":       {"ARG V\nFROM a:${V:-2}\n", []Image{{"a:2", 2}}, nil, "ARG V\nFROM local/a:2\n"},
		"platform":         {"FROM --platform=$BUILDPLATFORM go AS b\nFROM --platform=linux/amd64 x-$TARGETARCH\n", []Image{{"go", 1}, {"x-amd64", 2}}, nil, "FROM local/go AS b\nFROM local/x-amd64\n"},
		"stages": {
			"FROM go AS Build\nRUN x\nFROM build AS second\nFROM scratch\nCOPY --from=Build /x /x\nCOPY --from=1 /y /y\n",
			[]Image{{"go", 1}},
			nil, "FROM local/go AS Build\nRUN x\nFROM Build AS second\nFROM scratch\nCOPY --from=Build /x /x\nCOPY --from=1 /y /y\n",
		},
		"named like its image": {"FROM alpine AS alpine\nFROM alpine\n", []Image{{"alpine", 1}}, nil, "FROM local/alpine AS alpine\nFROM alpine\n"},
		"copied": {
			"FROM a\nCOPY --chown=1 --from=b:1 /x /x\nRUN --mount=type=bind,from=c,target=/c --mount=type=cache,target=/d make\nCOPY --from=b:1 /y /y\n",
			[]Image{{"a", 1}, {"b:1", 2}, {"c", 3}},
			[]string{"b:1", "c"},
			"FROM local/a\nCOPY --chown=1 --from=b:1 /x /x\nRUN --mount=type=bind,from=c,target=/c --mount=type=cache,target=/d make\nCOPY --from=b:1 /y /y\n",
		},
		"continued":       {"FROM \\\n  a \\\n# AS not\n\n  AS b\nRUN x \\\n && FROM y\n", []Image{{"a", 1}}, nil, "FROM local/a AS b\nRUN x  && FROM y\n"},
		"another escape":  {"# escape=`\nFROM a`\n:1\nRUN c:\\ x\nRUN y `\n z\n", []Image{{"a:1", 2}}, nil, "# escape=`\nFROM local/a:1\nRUN c:\\ x\nRUN y  z\n"},
		"windows lines":   {"FROM a\r\nRUN x\r\n", []Image{{"a", 1}}, nil, "FROM local/a\nRUN x\n"},
		"shift operator":  {"FROM a\nRUN echo $((1<<2))\n", []Image{{"a", 1}}, nil, "FROM local/a\nRUN echo $((1<<2))\n"},
		"only a comment":  {"FROM a\nRUN x # FROM b\n", []Image{{"a", 1}}, nil, "FROM local/a\nRUN x # FROM b\n"},
		"syntax":          {"# syntax=docker/dockerfile:1\nFROM a\n", []Image{{"a", 2}}, nil, "FROM local/a\n"},
		"digest":          {"FROM r.example:5000/a@sha256:00\n", []Image{{"r.example:5000/a@sha256:00", 1}}, nil, "FROM local/r.example:5000/a@sha256:00\n"},
		"earlier by case": {"FROM a AS x\nFROM X\n", []Image{{"a", 1}}, nil, "FROM local/a AS x\nFROM x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse([]byte(tt.text), amd64)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.images, f.Images); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.mounted, f.Mounted); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.rendered, string(f.Render(local))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	var many strings.Builder
	for i := range MaxImages + 1 {
		fmt.Fprintf(&many, "FROM a%d\n", i)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"empty":              {"", "no instructions"},
		"comments":           {"# FROM a\n", "no instructions"},
		"no FROM":            {"ARG A=1\n", "no FROM"},
		"RUN first":          {"RUN x\nFROM a\n", `line 1: got "RUN"`},
		"unknown argument":   {"FROM a:$V\n", "ARG V before the first FROM"},
		"no default":         {"ARG V\nFROM a:$V\n", "line 2"},
		"argument of stage":  {"FROM a\nARG V=1\nFROM b:$V\n", "line 3"},
		"bad substitution":   {"FROM ${a\n", "line 1"},
		"demanded":           {"FROM ${a:?no}\n", "line 1"},
		"heredoc":            {"FROM a\nRUN <<EOF\nFROM evil\nEOF\n", "line 2: got a heredoc"},
		"heredoc of a file":  {"FROM a\nCOPY <<x /x\nFROM evil\nx\n", "line 2: got a heredoc"},
		"escapes at the end": {"FROM a\nRUN x \\\\\nFROM b\n", "line 2"},
		"platform":           {"FROM --platform=linux/arm64 a\n", `"linux/arm64", want linux/amd64`},
		"platform's ARG":     {"FROM --platform=$P a\n", "ARG P"},
		"flag":               {"FROM --pull=never a\n", "line 1"},
		"words":              {"FROM a b\n", "line 1"},
		"AS nothing":         {"FROM a AS\n", "line 1"},
		"no image":           {"FROM\n", "line 1"},
		"empty image":        {"ARG V=\nFROM $V\n", "line 2"},
		"image with =":       {"FROM a=b\n", "line 1"},
		"not ASCII":          {"FROM \u202ea\n", "line 1"},
		"stage twice":        {"FROM a AS x\nFROM b AS X\n", "line 2"},
		"stage's name":       {"FROM a AS 0\n", "line 1"},
		"later stage":        {"FROM a\nCOPY --from=b / /\nFROM c AS b\n", "line 2"},
		"own stage":          {"FROM a AS b\nCOPY --from=b / /\n", "line 2"},
		"own number":         {"FROM a\nCOPY --from=0 / /\n", "line 2"},
		"case of a stage":    {"FROM a AS b\nFROM c\nCOPY --from=B / /\n", "line 3"},
		"variable":           {"ARG B=b\nFROM a\nCOPY --from=$B / /\n", "line 3"},
		"from scratch":       {"FROM a\nCOPY --from=scratch / /\n", "line 2"},
		"mount's variable":   {"FROM a\nRUN --mount=from=$B,target=/b x\n", "line 2"},
		"images":             {many.String(), "17 images"},
		"stages":             {strings.Repeat("FROM scratch\n", MaxStages+1), "65 stages"},
		"NUL":                {"FROM a\x00b\n", "NUL"},
		"size":               {strings.Repeat("#", MaxSize+1), "at most 1048576"},
		"long name":          {"FROM " + strings.Repeat("a", 600) + "\n", "line 1"},
		"long line":          {"FROM a\nRUN " + strings.Repeat("a", 70000) + "\n", "cannot be read"},
	} {
		_, err := Parse([]byte(tt.text), amd64)
		if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "build.dockerfile" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	_, err := Parse([]byte("FROM a:$V\nRUN <<E\nE\nFROM --platform=x b\n"), amd64)
	var lines []string
	for _, f := range status.Public(err).Faults {
		lines = append(lines, f.Field)
	}
	if d := cmp.Diff([]string{"line 1", "line 2", "line 4"}, lines); d != "" {
		t.Error(d)
	}
}

// FuzzParse: what is rendered reads as what was read, line by line, and names no image that was
// not told.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"FROM a\n", "ARG A=b\nFROM $A AS c\nCOPY --from=c / /\n", "# escape=`\nFROM a `\n AS b\nRUN x ``\n", "FROM a\nRUN \\\\\n\\\nFROM b\n",
		"FROM scratch\nRUN <<A cat\nFROM b\nA\n", "FROM a\nRUN --mount=from=b x\nONBUILD COPY --from=z a b\n", "FROM ${A:-b}\n\\\n\\\nFROM c",
		"FROM a\n#\\\nFROM b\n", "FROM a\n \\\n # x\n FROM b\n", "\ufeffFROM a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data, amd64)
		if err != nil {
			return
		}
		told := map[string]bool{}
		for _, i := range file.Images {
			told["local/"+i.Name] = true
		}
		out := file.Render(local)
		again, err := parser.Parse(bytes.NewReader(out))
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if len(again.AST.Children) != len(file.lines) {
			t.Fatalf("%q has %d instructions, want %d", out, len(again.AST.Children), len(file.lines))
		}
		stages := map[string]bool{scratch: true}
		for i, n := range again.AST.Children {
			if n.StartLine != n.EndLine {
				t.Fatalf("%q: instruction %d goes over lines", out, i)
			}
			if !strings.EqualFold(n.Value, "from") {
				continue
			}
			if base := n.Next.Value; !told[base] && !stages[base] {
				t.Fatalf("%q names %q", out, base)
			}
			if name, ok := alias(n); ok {
				stages[name] = true
			}
		}
	})
}

// TestExpansionIsBounded: a name of arguments, on lines that go on, is refused before it is
// made.
func TestExpansionIsBounded(t *testing.T) {
	text := "ARG A=" + strings.Repeat("a", maxName) + "\nFROM " + strings.Repeat(strings.Repeat("$A", 30_000)+"\\\n", 17) + "\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse([]byte(text), amd64)
	runtime.ReadMemStats(&after)
	if status.ReasonOf(err) != "build.dockerfile" || !strings.Contains(err.Error(), "a shorter word") {
		t.Errorf("got %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d MiB were taken for %d bytes", n>>20, len(text))
	}
}
