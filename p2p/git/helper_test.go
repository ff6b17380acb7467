package git_test

import (
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

func newFetcher(t *testing.T, s *gittest.Server, change ...func(*git.Config)) *git.Fetcher {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	dir := t.TempDir()
	// Whatever happens, nothing is left in the scratch directory.
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the scratch directory: %v, %v", left, err)
		}
	})
	cfg := git.Config{Bases: s.Bases(), Dir: dir, HTTP: tr}
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

// wantReason checks an error's class, and that its text names what it is about.
func wantReason(t *testing.T, err error, code status.Code, reason string, names ...string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%s, %q), want %s, %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
		return
	}
	for _, n := range names {
		if !strings.Contains(status.Public(err).Detail, n) {
			t.Errorf("%q does not name %q", status.Public(err).Detail, n)
		}
	}
}

func resolve(t *testing.T, f *git.Fetcher, w git.Want) git.Resolved {
	t.Helper()
	r, err := f.Resolve(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fetch resolves and fetches, and returns how it came and the files.
func fetch(t *testing.T, f *git.Fetcher, w git.Want) (git.Fetched, map[string]string, error) {
	t.Helper()
	r := resolve(t, f, w)
	tree := newTree(t)
	out, err := f.Fetch(t.Context(), w, r, tree, nil)
	if err != nil {
		return out, nil, err
	}
	return out, contents(t, tree.FS()), nil
}
