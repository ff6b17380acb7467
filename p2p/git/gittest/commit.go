package gittest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Entry is one entry of a raw tree.
type Entry struct{ Mode, Name, ID string }

// Option changes what [Repo.Commit] makes.
type Option func(*draft)

type draft struct {
	parents []string
	message string
	author  string
	sign    func(payload []byte) string
	modes   map[string]string
	extra   map[string]Entry
}

// Parents are the commits before, instead of the branch's head; none makes a root.
func Parents(ids ...string) Option { return func(d *draft) { d.parents = ids } }

// Message is the commit's message.
func Message(s string) Option { return func(d *draft) { d.message = s } }

// Author is "NAME <EMAIL>", for the author alone.
func Author(s string) Option { return func(d *draft) { d.author = s } }

// Signed puts what sign returns for the unsigned object into the commit, as its
// armoured signature.
func Signed(sign func(payload []byte) string) Option { return func(d *draft) { d.sign = sign } }

// Program makes files executable.
func Program(paths ...string) Option {
	return func(d *draft) {
		for _, p := range paths {
			d.modes[p] = "100755"
		}
	}
}

// Links makes files symbolic links, whose contents are their targets.
func Links(paths ...string) Option {
	return func(d *draft) {
		for _, p := range paths {
			d.modes[p] = "120000"
		}
	}
}

// Submodule adds a link to a commit of another repository. The file
// .gitmodules is for the caller to add.
func Submodule(path, id string) Option {
	return func(d *draft) { d.extra[path] = Entry{Mode: "160000", ID: id} }
}

// Commit makes a commit of exactly these files on a branch, which it makes or
// moves, and returns the commit's id. The parent is what the branch was.
func (r *Repo) Commit(branch string, files map[string]string, opts ...Option) string {
	r.s.t.Helper()
	d := &draft{message: "commit\n", author: "Ada Author <ada@example.org>", modes: map[string]string{}, extra: map[string]Entry{}}
	if head := r.Head(branch); head != "" {
		d.parents = []string{head}
	}
	for _, o := range opts {
		o(d)
	}
	all := map[string]Entry{}
	for name, text := range files {
		mode := d.modes[name]
		if mode == "" {
			mode = "100644"
		}
		all[name] = Entry{Mode: mode, ID: r.Object("blob", []byte(text))}
	}
	for name, e := range d.extra {
		all[name] = e
	}
	return r.raw(branch, r.tree(all), d)
}

// RawCommit is [Repo.Commit] of a tree that is there.
func (r *Repo) RawCommit(branch, tree string, opts ...Option) string {
	r.s.t.Helper()
	d := &draft{message: "commit\n", author: "Ada Author <ada@example.org>", modes: map[string]string{}, extra: map[string]Entry{}}
	if head := r.Head(branch); head != "" {
		d.parents = []string{head}
	}
	for _, o := range opts {
		o(d)
	}
	return r.raw(branch, tree, d)
}

func (r *Repo) raw(branch, tree string, d *draft) string {
	r.s.t.Helper()
	at := r.s.tick()
	head := "tree " + tree + "\n"
	for _, p := range d.parents {
		head += "parent " + p + "\n"
	}
	head += fmt.Sprintf("author %s %d +0100\ncommitter %s\n", d.author, at, person(at))
	object := head + "\n" + d.message
	if d.sign != nil {
		signature := strings.TrimSuffix(d.sign([]byte(object)), "\n")
		object = head + "gpgsig " + strings.ReplaceAll(signature, "\n", "\n ") + "\n\n" + d.message
	}
	id := r.Object("commit", []byte(object))
	r.Branch(branch, id)
	return id
}

// tree makes trees of files by their paths.
func (r *Repo) tree(files map[string]Entry) string {
	r.s.t.Helper()
	below := map[string]map[string]Entry{}
	var entries []Entry
	for path, e := range files {
		dir, rest, nested := strings.Cut(path, "/")
		if !nested {
			e.Name = path
			entries = append(entries, e)
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]Entry{}
		}
		below[dir][rest] = e
	}
	for dir, files := range below {
		entries = append(entries, Entry{"40000", dir, r.tree(files)})
	}
	key := func(e Entry) string {
		if e.Mode == "40000" {
			return e.Name + "/"
		}
		return e.Name
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(key(a), key(b)) })
	return r.RawTree(entries...)
}

// RawTree writes a tree of these entries as they are, in this order.
func (r *Repo) RawTree(entries ...Entry) string {
	r.s.t.Helper()
	var b []byte
	for _, e := range entries {
		id, err := hex.DecodeString(e.ID)
		r.must(err)
		b = append(append(b, e.Mode+" "+e.Name+"\x00"...), id...)
	}
	return r.Object("tree", b)
}

// tick is the time of the next object: a minute after the last, from 2026 on.
func (s *Server) tick() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock += 60
	return 1767225600 + s.clock
}

func person(at int64) string { return fmt.Sprintf("Cleo Committer <cleo@example.org> %d +0000", at) }
