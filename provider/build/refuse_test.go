package build

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

func one(data []byte) fstest.MapFS { return fstest.MapFS{"main": {Data: data, Mode: 0o755}} }

// patched is a good program with bytes changed.
func patched(change func(b []byte)) fstest.MapFS {
	b := program(62, "")
	change(b)
	return one(b)
}

func TestRefusals(t *testing.T) {
	b := newBuilder(t)
	good := func() fs.FS { return one(program(62, "")) }
	le := binary.LittleEndian
	for name, tt := range map[string]struct {
		req  Request
		want []string
	}{
		"nothing":           {Request{}, []string{`runtime: got "", want binary, dockerfile, go, image, node, python, static`, "files", "platform"}},
		"unknown runtime":   {Request{Runtime: "ruby", FS: good(), Platform: amd64}, []string{`got "ruby", want binary, dockerfile`}},
		"no files":          {Request{Runtime: Static, Platform: amd64}, []string{"files: got none"}},
		"entry above":       {Request{Runtime: Binary, FS: good(), Entry: "../x", Platform: amd64}, []string{`entry: got "../x"`}},
		"entry absolute":    {Request{Runtime: Binary, FS: good(), Entry: "/main", Platform: amd64}, []string{"entry"}},
		"args for static":   {Request{Runtime: Static, FS: site(), Args: []string{"x"}, Platform: amd64}, []string{"args: got 1"}},
		"many args":         {Request{Runtime: Binary, FS: good(), Args: make([]string, maxArgs+1), Platform: amd64}, []string{"args: got 257"}},
		"long arg":          {Request{Runtime: Binary, FS: good(), Args: []string{strings.Repeat("x", maxArg+1)}, Platform: amd64}, []string{"args[0]"}},
		"windows":           {Request{Runtime: Binary, FS: good(), Platform: oci.Platform{OS: "windows", Architecture: "amd64"}}, []string{"platform: got windows/amd64"}},
		"static elsewhere":  {Request{Runtime: Static, FS: site(), Platform: oci.Platform{OS: "linux", Architecture: "arm64"}}, []string{"got linux/arm64, want linux/amd64"}},
		"entry is a file":   {Request{Runtime: Static, FS: site(), Entry: "package.json", Platform: amd64}, []string{`entry: got "package.json", want a directory`}},
		"entry is missing":  {Request{Runtime: Static, FS: site(), Entry: "nope", Platform: amd64}, []string{`entry: got "nope", want a directory`}},
		"empty site":        {Request{Runtime: Static, FS: fstest.MapFS{".env": {}}, Platform: amd64}, []string{"got none to serve"}},
		"empty tree":        {Request{Runtime: Binary, FS: fstest.MapFS{}, Platform: amd64}, []string{"files: got none"}},
		"which one":         {Request{Runtime: Binary, FS: fstest.MapFS{"a": {Data: program(62, "")}, "b/c": {Data: program(62, "")}, "d": {}}, Platform: amd64}, []string{"3 files", `executables are "a", "b/c"`}},
		"none of them":      {Request{Runtime: Binary, FS: fstest.MapFS{"a": {}, "b": {}}, Platform: amd64}, []string{"there is no executable"}},
		"entry is nowhere":  {Request{Runtime: Binary, FS: good(), Entry: "x", Platform: amd64}, []string{`got "x"`, `executables are "main"`}},
		"entry is a dir":    {Request{Runtime: Binary, FS: fstest.MapFS{"d/main": {}}, Entry: "d", Platform: amd64}, []string{`got "d", want a file`}},
		"another machine":   {Request{Runtime: Binary, FS: one(program(183, "")), Platform: amd64}, []string{`got ELF 64-bit aarch64, want "amd64"`}},
		"unknown machine":   {Request{Runtime: Binary, FS: one(program(9999, "")), Platform: amd64}, []string{"got ELF 64-bit", `want "amd64"`}},
		"dynamic":           {Request{Runtime: Binary, FS: one(program(62, "/lib64/ld-linux-x86-64.so.2")), Platform: amd64}, []string{`needs the interpreter "/lib64/ld-linux-x86-64.so.2"`}},
		"strange linker":    {Request{Runtime: Binary, FS: one(program(62, "ld.so")), Platform: amd64}, []string{`the interpreter "ld.so"`}},
		"script":            {Request{Runtime: Binary, FS: one([]byte("#!/bin/sh\n")), Platform: amd64}, []string{"got a script"}},
		"exe":               {Request{Runtime: Binary, FS: one([]byte("MZ\x90")), Platform: amd64}, []string{"a Windows program"}},
		"mach-o":            {Request{Runtime: Binary, FS: one([]byte("\xcf\xfa\xed\xfe....")), Platform: amd64}, []string{"a macOS program"}},
		"text":              {Request{Runtime: Binary, FS: one([]byte("hello")), Platform: amd64}, []string{`begins with "hello"`}},
		"empty file":        {Request{Runtime: Binary, FS: one(nil), Platform: amd64}, []string{"begins with"}},
		"only the magic":    {Request{Runtime: Binary, FS: one([]byte(elfMagic)), Platform: amd64}, []string{"want a Linux executable"}},
		"object file":       {Request{Runtime: Binary, FS: patched(func(b []byte) { b[16] = 1 }), Platform: amd64}, []string{"no program (ET_REL)"}},
		"freebsd":           {Request{Runtime: Binary, FS: patched(func(b []byte) { b[7] = 9 }), Platform: amd64}, []string{"ELFOSABI_FREEBSD"}},
		"byte order":        {Request{Runtime: Binary, FS: patched(func(b []byte) { b[5] = 7 }), Platform: amd64}, []string{"byte order 7"}},
		"class":             {Request{Runtime: Binary, FS: patched(func(b []byte) { b[4] = 7 }), Platform: amd64}, []string{"damaged"}},
		"many headers":      {Request{Runtime: Binary, FS: patched(func(b []byte) { le.PutUint16(b[56:], 65535) }), Platform: amd64}, []string{"65535 program headers"}},
		"odd headers":       {Request{Runtime: Binary, FS: patched(func(b []byte) { le.PutUint16(b[54:], 1) }), Platform: amd64}, []string{"headers of 1 bytes"}},
		"headers elsewhere": {Request{Runtime: Binary, FS: patched(func(b []byte) { le.PutUint64(b[32:], 1<<30) }), Platform: amd64}, []string{"truncated"}},
		"far headers":       {Request{Runtime: Binary, FS: patched(func(b []byte) { le.PutUint64(b[32:], 1<<63) }), Platform: amd64}, []string{"program headers"}},
		"nothing to load":   {Request{Runtime: Binary, FS: patched(func(b []byte) { b[64] = 4 }), Platform: amd64}, []string{"nothing to load"}},
		"link above":        {Request{Runtime: Binary, FS: fstest.MapFS{"main": {Data: program(62, "")}, "a/l": {Data: []byte("../../x"), Mode: fs.ModeSymlink}}, Platform: amd64}, []string{`"a/l"`, "within the tree"}},
		"absolute link":     {Request{Runtime: Static, FS: fstest.MapFS{"index.html": {}, "l": {Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink}}, Platform: amd64}, []string{`"l"`, "within the tree"}},
		"device and pipe":   {Request{Runtime: Static, FS: fstest.MapFS{"d": {Mode: fs.ModeDevice}, "p": {Mode: fs.ModeNamedPipe}}, Platform: amd64}, []string{`"d"`, `"p"`, "2 faults"}},
		"control character": {Request{Runtime: Static, FS: fstest.MapFS{"a\nb": {}}, Platform: amd64}, []string{"control characters"}},
		"long path":         {Request{Runtime: Static, FS: fstest.MapFS{strings.Repeat("x", maxPath+1): {}}, Platform: amd64}, []string{"at most 1024 bytes"}},
		"no archive":        {Request{Runtime: Image, Platform: amd64}, []string{"files: got no archive"}},
		"entry of an image": {Request{Runtime: Image, Archive: strings.NewReader("x"), ArchiveSize: 1, Entry: "x", Platform: amd64}, []string{"the image has its own"}},
		"no image":          {Request{Runtime: Image, Archive: strings.NewReader("hello"), ArchiveSize: 5, Platform: amd64}, []string{"the uploaded archive is no tar archive"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Build(t.Context(), tt.req)
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			text := err.Error()
			var refusal *status.Error
			if errors.As(err, &refusal) {
				text = fmt.Sprint(text, refusal.Faults)
			}
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in %q", w, text)
				}
			}
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	tree := fstest.MapFS{}
	for i := range maxFiles + 1 {
		tree[fmt.Sprint(i)] = &fstest.MapFile{}
	}
	_, err := newBuilder(t).Build(t.Context(), Request{Runtime: Static, FS: tree, Platform: amd64})
	if status.ReasonOf(err) != "build.files" {
		t.Errorf("got %v", err)
	}
}

// TestOwnInterpreter: a program whose interpreter is uploaded with it may be dynamic.
func TestOwnInterpreter(t *testing.T) {
	tree := one(program(62, "/app/lib/ld.so"))
	tree["lib/ld.so"] = &fstest.MapFile{Data: program(62, ""), Mode: 0o755}
	res := build(t, newBuilder(t), Request{Runtime: Binary, FS: tree, Platform: amd64})
	if got := res.Evidence[len(res.Evidence)-1]; !strings.Contains(got, "its interpreter /app/lib/ld.so is in the upload") {
		t.Errorf("got %q", got)
	}
}

func FuzzELF(f *testing.F) {
	f.Add(program(62, ""))
	f.Add(program(183, "/lib/ld.so"))
	f.Add([]byte("#!/bin/sh"))
	f.Add([]byte(elfMagic + "\x01\x02\x01" + strings.Repeat("\x00", 60)))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseELF(strings.NewReader(string(data)))
		if err == nil && (x.arch == "" || x.text == "") {
			t.Errorf("%+v", x)
		}
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})
}
