package gittest

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"apocryph/manifest/slug"
)

// Repo is a repository of a [Server].
type Repo struct {
	s              *Server
	name           string
	user, password string
}

// Repo makes a repository "owner/repo" whose default branch is main, or returns
// the one that is there.
func (s *Server) Repo(name string) *Repo { return s.repo(name, "") }

func (s *Server) repo(name, objects string) *Repo {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.repos[name]; r != nil {
		return r
	}
	r := &Repo{s: s, name: name}
	for _, d := range []string{"refs/heads", "refs/tags", "info"} {
		r.must(os.MkdirAll(filepath.Join(r.Dir(), d), 0o755))
	}
	if objects == "" {
		r.must(os.MkdirAll(filepath.Join(r.Dir(), "objects"), 0o755))
	} else {
		r.must(os.Symlink(objects, filepath.Join(r.Dir(), "objects")))
	}
	r.write("HEAD", "ref: refs/heads/main\n")
	r.write("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n")
	s.repos[name] = r
	return r
}

func (r *Repo) must(err error) {
	if err != nil {
		r.s.t.Helper()
		r.s.t.Fatal(err)
	}
}

func (r *Repo) write(name, text string) {
	p := filepath.Join(r.Dir(), name)
	r.must(os.MkdirAll(filepath.Dir(p), 0o755))
	// In one step: a server may be reading it.
	r.must(os.WriteFile(p+".new", []byte(text), 0o644))
	r.must(os.Rename(p+".new", p))
}

// Dir is where the repository is, for file:// and for running git on it.
func (r *Repo) Dir() string { return filepath.Join(r.s.root, r.name+".git") }

// Name is "owner/repo".
func (r *Repo) Name() string { return r.name }

// Slug names it as a repository of GitHub, at a ref or "".
func (r *Repo) Slug(ref string) slug.Slug {
	return slug.Slug{Host: slug.GitHub, Repo: r.name, Ref: ref}
}

// Fork makes a repository that shares all objects, with the same references.
func (r *Repo) Fork(name string) *Repo {
	r.s.t.Helper()
	fork := r.s.repo(name, filepath.Join(r.Dir(), "objects"))
	r.must(os.CopyFS(filepath.Join(fork.Dir(), "fork"), os.DirFS(filepath.Join(r.Dir(), "refs"))))
	r.must(os.RemoveAll(filepath.Join(fork.Dir(), "refs")))
	r.must(os.Rename(filepath.Join(fork.Dir(), "fork"), filepath.Join(fork.Dir(), "refs")))
	return fork
}

// Private makes the repository want a user and a password, which the archive
// endpoint takes as well. An empty user is any.
func (r *Repo) Private(user, password string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.user, r.password = user, password
}

func (r *Repo) open(req *http.Request) bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.password == "" {
		return true
	}
	user, password, _ := req.BasicAuth()
	return password == r.password && (r.user == "" || user == r.user)
}

// Config adds lines to the repository's configuration, such as
// "[uploadpack]\nallowFilter = false\n".
func (r *Repo) Config(text string) {
	r.s.t.Helper()
	old, err := os.ReadFile(filepath.Join(r.Dir(), "config"))
	r.must(err)
	r.write("config", string(old)+text)
}

// Ref sets a reference by its full name; an empty id removes it.
func (r *Repo) Ref(name, id string) {
	r.s.t.Helper()
	if id != "" {
		r.write(name, id+"\n")
		return
	}
	r.must(os.Remove(filepath.Join(r.Dir(), name)))
}

// Branch sets a branch, and with an empty id removes it.
func (r *Repo) Branch(name, id string) { r.s.t.Helper(); r.Ref("refs/heads/"+name, id) }

// Tag sets a tag that names a commit itself.
func (r *Repo) Tag(name, id string) { r.s.t.Helper(); r.Ref("refs/tags/"+name, id) }

// AnnotatedTag makes a tag object and returns its id.
func (r *Repo) AnnotatedTag(name, id string) string {
	r.s.t.Helper()
	tag := r.Object("tag", fmt.Appendf(nil, "object %s\ntype commit\ntag %s\ntagger %s\n\n%s\n", id, name, person(r.s.tick()), name))
	r.Tag(name, tag)
	return tag
}

// Default sets the default branch.
func (r *Repo) Default(branch string) {
	r.s.t.Helper()
	r.write("HEAD", "ref: refs/heads/"+branch+"\n")
}

// Head is the id of a branch, "" where there is none.
func (r *Repo) Head(branch string) string {
	r.s.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Dir(), "refs/heads", branch))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	r.must(err)
	return strings.TrimSpace(string(b))
}

// Object writes any object, good or bad, and returns its id.
func (r *Repo) Object(kind string, data []byte) string {
	r.s.t.Helper()
	raw := append(fmt.Appendf(nil, "%s %d\x00", kind, len(data)), data...)
	sum := sha1.Sum(raw)
	id := hex.EncodeToString(sum[:])
	p := filepath.Join(r.Dir(), "objects", id[:2], id[2:])
	if _, err := os.Stat(p); err == nil {
		return id
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, err := w.Write(raw)
	r.must(errors.Join(err, w.Close()))
	r.must(os.MkdirAll(filepath.Dir(p), 0o755))
	r.must(os.WriteFile(p+".new", z.Bytes(), 0o644))
	r.must(os.Rename(p+".new", p))
	return id
}
