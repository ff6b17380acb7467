package git_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

const canary = "s3cr3t-c4n4ry"

// TestPrivate: a credential opens a repository by archive and by clone, goes to
// its own host alone, and shows nowhere.
func TestPrivate(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"f": "1"})
	r.Private("", canary)
	var log bytes.Buffer
	seen := func(what, text string) {
		t.Helper()
		for _, c := range []string{canary, base64.StdEncoding.EncodeToString([]byte("x-access-token:" + canary))} {
			if strings.Contains(text, c) {
				t.Errorf("%s has the credential: %s", what, text)
			}
		}
	}
	f := newFetcher(t, s, func(c *git.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	right := git.Want{Slug: r.Slug(""), Credential: &git.Credential{Password: canary}}
	for _, fail := range []bool{false, true} {
		if fail {
			s.Fail(404, gittest.Tarball)
		}
		res := resolve(t, f, right)
		out, err := f.Fetch(t.Context(), right, res, newTree(t), nil)
		if err != nil || (out.Method == git.MethodClone) != fail {
			t.Fatalf("%+v, %v", out, err)
		}
		seen("the result", out.Reason+res.Repository)
	}
	s.Before(nil)
	for _, tt := range []struct {
		c      *git.Credential
		code   status.Code
		reason string
	}{
		{nil, status.InvalidArgument, git.ReasonRepository},
		{&git.Credential{Password: canary + "x"}, status.PermissionDenied, git.ReasonAuth},
		{&git.Credential{Username: "a:b", Password: canary}, status.InvalidArgument, git.ReasonAuth},
		{&git.Credential{Password: canary + "\nX-Header: 1"}, status.InvalidArgument, git.ReasonAuth},
	} {
		_, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(""), Credential: tt.c})
		wantReason(t, err, tt.code, tt.reason)
		seen("the error", err.Error())
	}
	// A server that sends back what it was sent.
	s.Before(func(_ string, w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "remote: "+r.Header.Get("Authorization")+" "+canary, http.StatusInternalServerError)
		return true
	})
	_, err := f.Resolve(t.Context(), right)
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable)
	seen("the error", err.Error())
	seen("the log", log.String())
	if log.Len() == 0 {
		t.Error("nothing was logged, so nothing was looked at")
	}
}

// TestCredentialStays: neither the archive's nor git's redirect takes it along,
// and it is not in arguments or environments of processes, nor on the disk.
func TestCredentialStays(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"f": "1"})
	r.Private("", canary)
	var mu sync.Mutex
	var leaked []string
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		leaked = append(leaked, r.Header.Get("Authorization"))
		http.NotFound(w, r)
	}))
	defer other.Close()
	asked, scratch, files := 0, "", 0
	s.Before(func(kind string, w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		asked++
		mu.Unlock()
		err := filepath.WalkDir(scratch, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // it has gone meanwhile
			}
			b, err := os.ReadFile(path)
			files++
			if bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte(base64.StdEncoding.EncodeToString([]byte("x-access-token:"+canary)))) {
				t.Errorf("%s has the credential", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range all {
			for _, file := range []string{p, filepath.Join(filepath.Dir(p), "environ")} {
				if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(canary)) {
					t.Errorf("a process has the credential in its %s", filepath.Base(file))
				}
			}
		}
		if kind == gittest.Tarball {
			http.Redirect(w, req, other.URL, http.StatusFound)
		}
		return kind == gittest.Tarball
	})
	f := newFetcher(t, s, func(c *git.Config) { c.HTTP, scratch = other.Client().Transport, c.Dir })
	out, _, err := fetch(t, f, git.Want{Slug: r.Slug(""), Credential: &git.Credential{Password: canary}})
	if err != nil || out.Method != git.MethodClone || asked == 0 || files == 0 {
		t.Fatalf("%+v, %v, %d files", out, err, files)
	}
	if len(leaked) != 1 || leaked[0] != "" {
		t.Errorf("the other host got %q", leaked)
	}
	s.Before(func(_ string, w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, other.URL+req.URL.Path, http.StatusFound)
		return true
	})
	if _, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug(""), Credential: &git.Credential{Password: canary}}); err == nil {
		t.Error("a redirect was followed with a credential")
	}
	if len(leaked) != 1 {
		t.Errorf("the other host was asked by git: %q", leaked)
	}
}

// TestCredentialIsHidden from whoever prints a want.
func TestCredentialIsHidden(t *testing.T) {
	c := git.Credential{Username: "user", Password: canary}
	for _, text := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", &c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s", []any{c})} {
		if strings.Contains(text, canary) {
			t.Errorf("it prints %s", text)
		}
	}
}

// TestPrivateOverHTTPS: a certificate that the machine does not trust ends it before
// the credential is sent.
func TestPrivateOverHTTPS(t *testing.T) {
	s, certificate := gittest.NewTLS(t)
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{"f": "1"})
	r.Private("", canary)
	if !strings.HasPrefix(s.URL(), "https://") || !bytes.Contains(certificate, []byte("BEGIN CERTIFICATE")) {
		t.Fatalf("%s, %s", s.URL(), certificate)
	}
	_, err := newFetcher(t, s).Resolve(t.Context(), git.Want{Slug: r.Slug(""), Credential: &git.Credential{Password: canary}})
	wantReason(t, err, status.Unavailable, git.ReasonUnavailable)
	if n := s.Count(gittest.Refs) + s.Count(gittest.Pack); n > 0 {
		t.Errorf("the host was asked %d times", n)
	}
}
