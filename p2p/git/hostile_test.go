package git_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// TestHostileTrees: what a commit of git cannot have, or what would reach out of
// the tree, is refused by archive and by clone. The fetcher's scratch directory
// is looked at when the test ends.
func TestHostileTrees(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("mallory/app")
	mark := filepath.Join(t.TempDir(), "owned")
	// Whoever ran it, as whichever user, could leave its mark.
	if err := os.Chmod(filepath.Dir(mark), 0o777); err != nil {
		t.Fatal(err)
	}
	blob := r.Object("blob", []byte("#!/bin/sh\ntouch "+mark+"\n"))
	out := r.Object("blob", []byte("../../../etc/passwd"))
	abs := r.Object("blob", []byte("/etc/passwd"))
	dir := r.RawTree(gittest.Entry{Mode: "100755", Name: "post-checkout", ID: blob})
	file := func(name string) gittest.Entry { return gittest.Entry{Mode: "100644", Name: name, ID: blob} }
	f := newFetcher(t, s)
	for name, entries := range map[string][]gittest.Entry{
		".git":            {{Mode: "40000", Name: ".git", ID: dir}},
		".GIT":            {{Mode: "40000", Name: ".GIT", ID: dir}},
		"dots":            {file("..")},
		"dots as dir":     {{Mode: "40000", Name: "..", ID: dir}},
		"dot":             {file(".")},
		"slash":           {file("a/b")},
		"absolute":        {file("/etc/passwd")},
		"no name":         {file("")},
		"backslash":       {file(`a\b`)},
		"control":         {file("a\x1bb")},
		"no UTF-8":        {file("a\xff")},
		"case":            {file("A"), file("a")},
		"twice":           {file("a"), file("a")},
		"file and dir":    {file("a"), {Mode: "40000", Name: "a", ID: dir}},
		"unsorted":        {file("b"), file("a")},
		"link out":        {{Mode: "120000", Name: "l", ID: out}},
		"absolute link":   {{Mode: "120000", Name: "l", ID: abs}},
		"below a link":    {{Mode: "120000", Name: "l", ID: out}, {Mode: "40000", Name: "l", ID: dir}},
		"long name":       {file(strings.Repeat("n", 300))},
		"device":          {{Mode: "060000", Name: "d", ID: blob}},
		"setuid":          {{Mode: "104755", Name: "d", ID: blob}},
		"no mode":         {{Mode: "0", Name: "d", ID: blob}},
		"missing object":  {{Mode: "100644", Name: "d", ID: strings.Repeat("1", 40)}},
		"tree as file":    {{Mode: "100644", Name: "d", ID: dir}},
		"file as tree":    {{Mode: "40000", Name: "d", ID: blob}},
		"submodule":       {{Mode: "160000", Name: "m", ID: strings.Repeat("2", 40)}},
		"gitmodules link": {{Mode: "120000", Name: ".gitmodules", ID: out}},
		"empty tree":      {{Mode: "40000", Name: "e", ID: r.RawTree()}},
	} {
		for _, fail := range []bool{false, true} {
			s.Before(nil)
			if fail {
				s.Fail(404, gittest.Tarball)
			}
			r.RawCommit("main", r.RawTree(entries...), gittest.Parents())
			w := git.Want{Slug: r.Slug("")}
			res, err := f.Resolve(t.Context(), w)
			if err == nil {
				_, err = f.Fetch(t.Context(), w, res, newTree(t), nil)
			}
			reason := status.ReasonOf(err)
			if c := status.CodeOf(err); c != status.InvalidArgument && c != status.ResourceExhausted || !strings.HasPrefix(reason, "git.") && !strings.HasPrefix(reason, "files.") {
				t.Errorf("%s, clone %t: %v (%s)", name, fail, err, reason)
			}
		}
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("something of the repository was run")
	}
}

// TestLimits: sizes, entries and time end a call, by archive and by clone.
func TestLimits(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("mallory/app")
	many, deep := map[string]string{}, strings.Repeat("d/", 70)
	for i := range 300 {
		many["d"+string(rune('a'+i%26))+"/"+strings.Repeat("x", i/26+1)] = "x"
	}
	// A tree of 5 levels whose 10 entries are each the next: 10,000 files of one blob.
	bomb := r.RawTree(gittest.Entry{Mode: "100644", Name: "f", ID: r.Object("blob", []byte("bomb"))})
	for range 4 {
		var e []gittest.Entry
		for c := range 10 {
			e = append(e, gittest.Entry{Mode: "40000", Name: string(rune('a' + c)), ID: bomb})
		}
		bomb = r.RawTree(e...)
	}
	for name, commit := range map[string]func(){
		"one large file": func() { r.Commit("main", map[string]string{"zeros": strings.Repeat("\x00", 4<<20)}) },
		"many files":     func() { r.Commit("main", many) },
		"depth":          func() { r.Commit("main", map[string]string{deep + "f": "x"}) },
		"bomb":           func() { r.RawCommit("main", bomb) },
	} {
		commit()
		f := newFetcher(t, s, func(c *git.Config) { c.Limits = git.Limits{Bytes: 1 << 20, Entries: 100, Time: time.Minute} })
		w := git.Want{Slug: r.Slug("")}
		res := resolve(t, f, w)
		for _, fail := range []bool{false, true} {
			s.Before(nil)
			if fail {
				s.Fail(404, gittest.Tarball)
			}
			tree, err := source.NewTree(t.TempDir(), source.Limits{Bytes: 1 << 20, Entries: 100, PathBytes: 1024, Depth: 64, Ratio: 200, FileBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Fetch(t.Context(), w, res, tree, nil)
			tree.Close()
			if reason := status.ReasonOf(err); reason != git.ReasonSize && reason != source.ReasonTooLarge || status.CodeOf(err) != status.ResourceExhausted {
				t.Errorf("%s, clone %t: %v (%s)", name, fail, err, reason)
			}
		}
	}
	s.Before(func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	slow := newFetcher(t, s, func(c *git.Config) { c.Limits.Time, c.Limits.Bytes, c.Limits.Entries = time.Second, 1<<20, 10 })
	_, err := slow.Resolve(t.Context(), git.Want{Slug: r.Slug("")})
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable, "1s")
	ctx, cancel := context.WithCancel(t.Context())
	s.Before(func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err = newFetcher(t, s).Resolve(ctx, git.Want{Slug: r.Slug("")}); status.CodeOf(err) != status.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// TestDiskIsWatched: a history that does not fit ends the fetch.
func TestDiskIsWatched(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("mallory/app")
	r.Config("[uploadpack]\n\tallowFilter = false\n\tallowAnySHA1InWant = false\n")
	noise := make([]byte, 3<<20)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	first := r.Commit("main", map[string]string{"noise": string(noise)})
	r.Commit("main", map[string]string{"f": "x"})
	f := newFetcher(t, s, func(c *git.Config) { c.Limits = git.Limits{Bytes: 1 << 20, Entries: 100, Time: time.Minute} })
	_, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(first)})
	wantReason(t, err, status.ResourceExhausted, git.ReasonSize, "mallory/app")
}

// TestRunsNothing: hooks and configuration of a repository, and names that look
// like options, do nothing.
func TestRunsNothing(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("mallory/app")
	r.Commit("main", map[string]string{"f": "1"})
	mark := filepath.Join(t.TempDir(), "ran")
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "core.sshCommand")
	t.Setenv("GIT_CONFIG_VALUE_0", "touch "+mark)
	t.Setenv("GIT_EXTERNAL_DIFF", "touch "+mark)
	f := newFetcher(t, s, func(c *git.Config) { c.AllowFile = []string{"/"} })
	for _, sl := range []slug.Slug{
		{Host: slug.GitHub, Repo: "--upload-pack=touch " + mark},
		{Host: slug.File, Repo: "--upload-pack=touch " + mark},
		{Host: slug.Git, Repo: "-oProxyCommand=touch " + mark + "/x"},
		{Host: slug.Git, Repo: "ext::touch " + mark},
		{Host: slug.GitHub, Repo: "a/b\nc"},
		{Host: slug.GitHub, Repo: ""},
		{},
		{Host: slug.GitHub, Repo: "mallory/app", Ref: "--upload-pack=touch " + mark},
		{Host: slug.Git, Repo: "user:password@127.0.0.1/x"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if got, err := f.Resolve(ctx, git.Want{Slug: sl}); err == nil {
			t.Errorf("%+v: %+v", sl, got)
		}
		cancel()
	}
	if _, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug("")}); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("something was run")
	}
}

// TestSubmodules are refused unless asked for, and come at the commits that the
// tree names.
func TestSubmodules(t *testing.T) {
	s := gittest.New(t)
	lib, r := s.Repo("acme/lib"), s.Repo("acme/app")
	old := lib.Commit("main", map[string]string{"lib.py": "old\n", "d/x": "y"})
	lib.Commit("main", map[string]string{"lib.py": "new\n"})
	modules := func(url string) map[string]string {
		return map[string]string{"f": "1", ".gitmodules": "[submodule \"l\"]\n\tpath = v/lib\n\turl = " + url + "\n"}
	}
	r.Commit("main", modules("../lib.git"), gittest.Submodule("v/lib", old))
	f := newFetcher(t, s)
	_, _, err := fetch(t, f, git.Want{Slug: r.Slug("")})
	wantReason(t, err, status.InvalidArgument, git.ReasonSubmodules, "acme/app", "v/lib")
	out, files, err := fetch(t, f, git.Want{Slug: r.Slug(""), Submodules: true})
	if err != nil || out.Method != git.MethodClone || files["v/lib/lib.py"] != "old\n" || files["v/lib/d/x"] != "y" || len(files) != 4 {
		t.Errorf("%+v, %v: %q", out, err, files)
	}
	for _, url := range []string{"http://127.0.0.1/x", "file:///etc", "ssh://host/x", "git@host:x", "ext::sh", "-x", "/etc", "https://u:p@host/x", "https://", "\"\"", lib.Dir()} {
		r.Commit("main", modules(url), gittest.Submodule("v/lib", old))
		_, _, err := fetch(t, f, git.Want{Slug: r.Slug(""), Submodules: true})
		if reason := status.ReasonOf(err); reason != git.ReasonSubmodules && reason != git.ReasonProtocol {
			t.Errorf("%s: %v", url, err)
		}
	}
	r.Commit("main", map[string]string{"f": "1"}, gittest.Submodule("v/lib", old))
	_, _, err = fetch(t, f, git.Want{Slug: r.Slug(""), Submodules: true})
	wantReason(t, err, status.InvalidArgument, git.ReasonSubmodules)
	many := []gittest.Option{}
	for i := range 33 {
		many = append(many, gittest.Submodule("v/"+strings.Repeat("m", i+1), old))
	}
	r.Commit("main", modules("../lib.git"), many...)
	_, _, err = fetch(t, f, git.Want{Slug: r.Slug(""), Submodules: true})
	wantReason(t, err, status.InvalidArgument, git.ReasonSubmodules, "32")
}

// TestSweep removes what a crash left, and nothing that is in use.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{".git-123/objects", ".staging-1", "mine"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := git.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left: %v", left)
	}
	if err := git.Sweep(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for no directory")
	}
}
