package git_test

import (
	"io/fs"
	"net/http"
	"testing"

	"apocryph/attest/commit"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/p2p/source"
)

func newFetcher(t *testing.T, s *gittest.Server, change ...func(*git.Config)) *git.Fetcher {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cfg := git.Config{Bases: s.Bases(), Dir: t.TempDir(), HTTP: tr}
	for _, c := range change {
		c(&cfg)
	}
	f, err := git.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newTree(t *testing.T) *source.Tree {
	t.Helper()
	tree, err := source.NewTree(t.TempDir(), source.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			to, err := fs.ReadLink(fsys, name)
			out[name] = "-> " + to
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		if out[name] = string(b); info.Mode()&0o100 != 0 {
			out[name] = "+x " + string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestThin(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	id := r.Commit("main", map[string]string{"main.py": "print(1)\n", "bin/run": "#!/bin/sh\n", "l": "bin/run", "a.b": "", "a/x": "y", "a0": ""}, gittest.Program("bin/run"), gittest.Links("l"))
	f := newFetcher(t, s)
	for _, fail := range []bool{false, true} {
		if fail {
			s.Fail(404, gittest.Tarball)
		}
		res, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug("")})
		if err != nil {
			t.Fatal(err)
		}
		if res.Commit.ID != id {
			t.Fatal(res)
		}
		tree := newTree(t)
		got, err := f.Fetch(t.Context(), git.Want{Slug: r.Slug("")}, res, tree, nil)
		t.Log(got, err, contents(t, tree.FS()))
		if err != nil {
			t.Fatal(err)
		}
		sum, err := commit.Tree(tree.FS())
		if err != nil || sum != res.Commit.Tree {
			t.Fatal(sum, err)
		}
	}
}
