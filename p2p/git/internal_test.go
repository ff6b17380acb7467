package git

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"apocryph/attest/commit"
)

const id1, id2 = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"

func TestReadRefs(t *testing.T) {
	wanted := map[string]bool{"HEAD": true, "refs/heads/main": true, "refs/tags/v1": true}
	got, err := readRefs(strings.NewReader("ref: refs/heads/main\tHEAD\n"+id1+"\tHEAD\n"+id1+"\trefs/heads/main\n"+id2+"\trefs/heads/x\n"+id1+"\trefs/tags/v1\n"+id2+"\trefs/tags/v1^{}\n"), wanted)
	tag, _ := got.commit("refs/tags/v1")
	if err != nil || got.defaultBranch != "refs/heads/main" || len(got.ids) != 4 || tag != id2 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"x\n", id1 + " HEAD\n", id1[1:] + "\tHEAD\n", id1 + "\tHEAD\n" + id2 + "\tHEAD\n", id1 + "\t" + strings.Repeat("x", refLine)} {
		if _, err := readRefs(strings.NewReader(bad), wanted); err != errListing {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
	if _, err := readRefs(io.MultiReader(strings.NewReader(id1+"\tx\n"), endless{}), wanted); err != errOutput {
		t.Errorf("endless: %v", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	line := id1 + "\trefs/heads/other\n"
	n := 0
	for n+len(line) <= len(b) {
		n += copy(b[n:], line)
	}
	if n == 0 {
		// The rest of a buffer that no line fits into: the line goes on.
		return copy(b, "x"), nil
	}
	return n, nil
}

func TestReadTree(t *testing.T) {
	got, err := readTree(strings.NewReader("100644 blob "+id1+"\ta\nb\x00160000 commit "+id2+"\tm\x00"), 2)
	if err != nil || len(got) != 2 || got[0] != (file{"100644", "blob", id1, "a\nb"}) || got[1].kind != "commit" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"x\x00", "100644 blob " + id1 + "\ta", "100644 blob x\ta\x00", "100644 blob " + id1 + "\t\x00", "100644  blob " + id1 + "\ta\x00"} {
		if _, err := readTree(strings.NewReader(bad), 2); err != errBatch {
			t.Errorf("%q: %v", bad, err)
		}
	}
	one := "100644 blob " + id1 + "\ta\x00"
	for _, large := range []string{one + one + one, "100644 blob " + id1 + "\t" + strings.Repeat("x", entryLine) + "\x00"} {
		if _, err := readTree(strings.NewReader(large), 2); err != errOutput {
			t.Errorf("%.60q: %v", large, err)
		}
	}
}

func TestBatch(t *testing.T) {
	read := func(out string) (string, error) {
		b := &batch{w: io.Discard, r: bufio.NewReader(strings.NewReader(out))}
		var got []byte
		err := b.blob(id1, func(r io.Reader, _ int64) (err error) {
			got, err = io.ReadAll(r)
			return err
		})
		return string(got), err
	}
	if got, err := read(id1 + " blob 3\na\nb\n"); err != nil || got != "a\nb" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{
		"", id1, id1 + " blob 3\n", id1 + " blob 3\nab", id1 + " blob 3\nabcd", id1 + " blob -1\n", id1 + " blob +1\na\n", id1 + " blob 01\na\n",
		id1 + " tree 1\na\n", id2 + " blob 1\na\n", id1 + " missing\n", id1 + " blob 99999999999999999999\n", strings.Repeat("x", 1000),
	} {
		if got, err := read(bad); err == nil {
			t.Errorf("%q: read %q", bad, got)
		}
	}
}

func TestModuleURL(t *testing.T) {
	for _, tt := range []struct{ base, s, want string }{
		{"https://h/o/r.git", "https://x/y.git", "https://x/y.git"},
		{"https://h/o/r.git", "../lib.git", "https://h/o/lib.git"},
		{"https://h/o/r.git", "./lib.git", "https://h/o/r.git/lib.git"},
		{"https://h/o/r.git", "../../../../x", "https://h/x"},
		{"https://h/o/r.git", "http://x/y", ""},
		{"https://h/o/r.git", "ext::x", ""},
		{"https://h/o/r.git", "git@h:x", ""},
		{"https://h/o/r.git", "//h/x", ""},
		{"https://h/o/r.git", "https://u@h/x", ""},
		{"https://h/o/r.git", "https://h/x?y", ""},
		{"https://h/o/r.git", "../x y", ""},
		{"https://h/o/r.git", "", ""},
		{"file:///o/r.git", "../x", ""},
	} {
		if got, ok := moduleURL(tt.base, tt.s); got != tt.want && ok || ok != (tt.want != "") {
			t.Errorf("%q from %q: %q, %t; want %q", tt.s, tt.base, got, ok, tt.want)
		}
	}
}

func FuzzReadRefs(f *testing.F) {
	f.Add([]byte("ref: refs/heads/main\tHEAD\n" + id1 + "\tHEAD\n" + id1 + "\trefs/tags/v1^{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readRefs(bytes.NewReader(b), map[string]bool{"HEAD": true, "refs/tags/v1": true})
		if err == nil && len(got.ids) > 4 {
			t.Errorf("%+v", got)
		}
		for name, id := range got.ids {
			if !commit.IsID(id) {
				t.Errorf("%s: %q", name, id)
			}
		}
	})
}

func FuzzReadTree(f *testing.F) {
	f.Add([]byte("100644 blob " + id1 + "\ta\x00160000 commit " + id2 + "\tm\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readTree(bytes.NewReader(b), 3)
		if err == nil && len(got) > 3 {
			t.Errorf("%+v", got)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(id1 + " blob 3\nabc\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &batch{w: io.Discard, r: bufio.NewReader(bytes.NewReader(b))}
		_ = r.blob(id1, func(body io.Reader, size int64) error {
			got, err := io.ReadAll(body)
			if err == nil && int64(len(got)) != size {
				t.Errorf("%d bytes of %d", len(got), size)
			}
			return err
		})
	})
}

func FuzzReadModules(f *testing.F) {
	f.Add("submodule.l.path\nv/l\x00submodule.l.url\n../l\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for path, url := range readModules(text) {
			if to, ok := moduleURL("https://h/r", url); path == "" || ok && !strings.HasPrefix(to, "https://") {
				t.Errorf("%q: %q, %q", path, url, to)
			}
		}
	})
}
