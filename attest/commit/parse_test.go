package commit_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"apocryph/attest/commit"
	"apocryph/proto/status"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// shortRSA is a key below the least size. The library makes none by itself.
func shortRSA(t testing.TB) *rsa.PublicKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

const (
	tree   = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
	parent = "parent 6801ddcfa25d8f78dd2ec0651c9fef1acbd09a94\n"
	author = "author A U Thor <a@example.org> 1700000000 -0130\n"
	commtr = "committer C <c@example.org> 1700000060 +0000\n"
)

func TestParse(t *testing.T) {
	raw := []byte(tree + parent + parent + author + commtr + "encoding ISO-8859-1\nHG:extra a\n b\nmergetag object x\n y\nmergetag z\n\nsubject \xff\x1b[31m\nbody\n")
	c, err := commit.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != commit.ID(raw) || c.Tree != tree[5:45] || len(c.Parents) != 2 || c.Signature != "" || c.Signed != nil {
		t.Errorf("got %+v", c)
	}
	if c.Author.Name != "A U Thor" || c.Author.Email != "a@example.org" || !c.Author.Time.Equal(time.Unix(1700000000, 0)) || c.Author.Time.Format("-0700") != "-0130" {
		t.Errorf("author %+v", c.Author)
	}
	if c.Subject != "subject \uFFFD [31m" {
		t.Errorf("subject %q", c.Subject)
	}
	signed, err := commit.Parse([]byte(tree + author + commtr + "gpgsig a\n b\n  c\n \ngpgsig-sha256 d\n e\nx y\n\nm"))
	if err != nil || signed.Signature != "a\nb\n c\n\n" || string(signed.Signed) != tree+author+commtr+"x y\n\nm" {
		t.Errorf("signature %q of %q, %v", signed.Signature, signed.Signed, err)
	}
	if c, err := commit.Parse([]byte(tree + author + commtr)); err != nil || c.Subject != "" {
		t.Errorf("without a message: %v", err)
	}
	long, err := commit.Parse([]byte(tree + author + commtr + "\n" + strings.Repeat("ä", 1000)))
	if err != nil || len(long.Subject) > 512 || strings.Contains(long.Subject, "\uFFFD") {
		t.Errorf("long subject: %d bytes, %v", len(long.Subject), err)
	}
}

func TestMalformed(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":             "",
		"no tree":             author + commtr + "\n",
		"short tree":          "tree 4b82\n" + author + commtr + "\n",
		"upper case":          "tree " + strings.ToUpper(tree[5:45]) + "\n" + author + commtr + "\n",
		"SHA-256":             "tree " + strings.Repeat("a", 64) + "\n" + author + commtr + "\n",
		"second tree":         tree + tree + author + commtr + "\n",
		"bad parent":          tree + "parent x\n" + author + commtr + "\n",
		"late parent":         tree + author + parent + commtr + "\n",
		"later parent":        tree + author + commtr + parent + "\n",
		"many parents":        tree + strings.Repeat(parent, 129) + author + commtr + "\n",
		"no author":           tree + commtr + "\n",
		"no committer":        tree + author + "\n",
		"second author":       tree + author + author + commtr + "\n",
		"later author":        tree + author + commtr + author + "\n",
		"second committer":    tree + author + commtr + commtr + "\n",
		"second signature":    tree + author + commtr + "gpgsig a\ngpgsig b\n\n",
		"empty signature":     tree + author + commtr + "gpgsig \n\n",
		"second encoding":     tree + author + commtr + "encoding a\nencoding b\n\n",
		"NUL in the head":     tree + "author \x00<a> 1 +0000\n" + commtr + "\n",
		"NUL in the message":  tree + author + commtr + "\na\x00b",
		"no end of line":      strings.TrimSuffix(tree+author+commtr, "\n"),
		"continued nothing":   " x\n" + tree,
		"no value":            tree + author + commtr + "x\n\n",
		"no key":              tree + "\tx\n",
		"no e-mail":           tree + "author A 1 +0000\n" + commtr + "\n",
		"two e-mails":         tree + "author A <a <b> 1 +0000\n" + commtr + "\n",
		"no space":            tree + "author A<a> 1 +0000\n" + commtr + "\n",
		"bracket in the name": tree + "author A> <a> 1 +0000\n" + commtr + "\n",
		"continued author":    tree + "author A\n B <a> 1 +0000\n" + commtr + "\n",
		"no time":             tree + "author A <a>\n" + commtr + "\n",
		"no zone":             tree + "author A <a> 1\n" + commtr + "\n",
		"zone":                tree + "author A <a> 1 +00:00\n" + commtr + "\n",
		"sign of the zone":    tree + "author A <a> 1 00000\n" + commtr + "\n",
		"negative time":       tree + "author A <a> -1 +0000\n" + commtr + "\n",
		"leading zero":        tree + "author A <a> 01 +0000\n" + commtr + "\n",
		"large time":          tree + "author A <a> 1000000000000 +0000\n" + commtr + "\n",
		"large object":        tree + author + commtr + "\n" + strings.Repeat("x", 256<<10),
	} {
		c, err := commit.Parse([]byte(raw))
		if status.ReasonOf(err) != commit.ReasonMalformed || status.CodeOf(err) != status.InvalidArgument || c.ID != "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestTree(t *testing.T) {
	f := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }
	link := &fstest.MapFile{Data: []byte("a"), Mode: 0o777 | fs.ModeSymlink}
	module := map[string]string{"m": tree[5:45]}
	for _, tt := range []struct {
		name    string
		files   fstest.MapFS
		modules map[string]string
		want    string
	}{
		{"nothing", fstest.MapFS{}, nil, tree[5:45]},
		{"empty directories", fstest.MapFS{"a/b": {Mode: fs.ModeDir | 0o755}}, nil, tree[5:45]},
		// The id is that of git write-tree.
		{"a file", fstest.MapFS{"f": f("hi\n")}, nil, "df55a7dce59d040dc7819c1e241082965a80ebd9"},
		{".git", fstest.MapFS{".GIT/x": f("")}, nil, ""},
		{"a device", fstest.MapFS{"d": {Mode: fs.ModeDevice}}, nil, ""},
		{"no directory of a module", fstest.MapFS{}, module, ""},
		{"a wrong id of a module", fstest.MapFS{"m": {Mode: fs.ModeDir | 0o755}}, map[string]string{"m": "x"}, ""},
		{"depth", fstest.MapFS{strings.Repeat("d/", 300) + "f": f("")}, nil, ""},
	} {
		got, err := commit.TreeWith(tt.files, tt.modules)
		if got != tt.want || (err == nil) == (tt.want == "") {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
		if err != nil && status.ReasonOf(err) != commit.ReasonTree {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	seen := map[string]string{}
	for name, files := range map[string]fstest.MapFS{
		"file": {"a": f("x")}, "name": {"b": f("x")}, "content": {"a": f("y")}, "mode": {"a": {Data: []byte("x"), Mode: 0o755}},
		"link": {"a": {Data: []byte("x"), Mode: fs.ModeSymlink}}, "below": {"d/a": f("x")}, "more": {"a": f("x"), "l": link},
	} {
		id, err := commit.Tree(files)
		if err != nil || seen[id] != "" {
			t.Errorf("%s: %s as that of %q, %v", name, id, seen[id], err)
		}
		seen[id] = name
	}
}

func TestIsID(t *testing.T) {
	if commit.IsID(strings.Repeat("g", 40)) || commit.IsID("") || !commit.IsID(strings.Repeat("a", 40)) {
		t.Error("IsID is wrong")
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range append(names, "unsigned") {
		_, raw := recorded(f, name)
		f.Add(raw)
	}
	f.Add([]byte(tree + author + commtr + "gpgsig a\n b\n\nm"))
	keys := mustKeys(f, list(f, "ssh-ed25519"), list(f, "pgp-ed25519"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := commit.Parse(raw)
		if err != nil {
			return
		}
		if !commit.IsID(c.ID) || !commit.IsID(c.Tree) || bytes.Contains(c.Signed, []byte("\ngpgsig ")) && c.Subject == "" && !bytes.Contains(c.Signed, []byte("\n\n")) {
			t.Errorf("got %+v", c)
		}
		if _, err := commit.Verify(c, keys); err == nil && c.Signature == "" {
			t.Error("an unsigned commit was verified")
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, name := range names {
		f.Add([]byte(list(f, name)))
	}
	f.Add([]byte(`a valid-after="20200101",namespaces="git" ssh-ed25519 AAAA b`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := commit.ParseKeys(text); err != nil && k.Len() != 0 {
			t.Error("keys beside an error")
		}
	})
}
