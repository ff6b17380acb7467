package gittest

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/manifest/slug"
)

// The kinds of requests that are counted.
const (
	// Tarball is the archive endpoint, Codeload where it sends to.
	Tarball  = "tarball"
	Codeload = "codeload"
	// Refs is the list of references, Pack anything else that git asks.
	Refs = "refs"
	Pack = "pack"
)

// Server is a host of repositories.
type Server struct {
	t    testing.TB
	http *httptest.Server
	root string
	git  string

	mu     sync.Mutex
	repos  map[string]*Repo
	counts map[string]int
	before func(kind string, w http.ResponseWriter, r *http.Request) bool
	clock  int64
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := prepare(t)
	s.http = httptest.NewServer(s)
	t.Cleanup(s.http.Close)
	return s
}

// NewTLS is [New] with https, and returns the certificate to trust, in PEM.
func NewTLS(t testing.TB) (*Server, []byte) {
	t.Helper()
	s := prepare(t)
	s.http = httptest.NewTLSServer(s)
	t.Cleanup(s.http.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

func prepare(t testing.TB) *Server {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("these tests need git: %v", err)
	}
	s := &Server{t: t, root: t.TempDir(), git: program, repos: map[string]*Repo{}, counts: map[string]int{}}
	if err := os.WriteFile(filepath.Join(s.root, "gitconfig"), []byte("[safe]\n\tdirectory = *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL is the server's address, without a slash at the end.
func (s *Server) URL() string { return s.http.URL }

// Bases let slugs name this server's repositories.
func (s *Server) Bases() slug.Bases {
	return slug.Bases{GitHub: s.URL(), GitHubAPI: s.URL() + "/api", GitLab: s.URL()}
}

// Count is how many requests of a kind came.
func (s *Server) Count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[kind]
}

// Before is called with each request ahead of its answer, to count, to move a
// branch in the middle, or to answer instead and return true. Nil takes it back.
func (s *Server) Before(f func(kind string, w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Fail answers all requests of these kinds with a status.
func (s *Server) Fail(code int, kinds ...string) {
	s.Before(func(kind string, w http.ResponseWriter, _ *http.Request) bool {
		for _, k := range kinds {
			if k == kind {
				http.Error(w, "as the test asked", code)
				return true
			}
		}
		return false
	})
}

// ServeHTTP answers as a host would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, name, rest := route(r)
	s.mu.Lock()
	s.counts[kind]++
	before, repo := s.before, s.repos[name]
	s.mu.Unlock()
	if before != nil && before(kind, w, r) {
		return
	}
	api := kind == Tarball || kind == Codeload
	switch {
	case repo != nil && !repo.open(r):
		if !api {
			w.Header().Set("WWW-Authenticate", `Basic realm="gittest"`)
			http.Error(w, "Repository not found.", http.StatusUnauthorized)
			return
		}
		fallthrough
	case repo == nil:
		http.NotFound(w, r)
	case kind == Tarball:
		http.Redirect(w, r, "/codeload/"+name+"/legacy.tar.gz/"+rest, http.StatusFound)
	case kind == Codeload:
		s.archive(w, r, repo, rest)
	default:
		s.backend(w, r)
	}
}

// route tells the kind of a request, the repository and, of archives, the commit.
func route(r *http.Request) (kind, name, rest string) {
	p := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(p) == 6 && p[0] == "api" && p[1] == "repos" && p[4] == "tarball":
		return Tarball, p[2] + "/" + p[3], p[5]
	case len(p) == 5 && p[0] == "codeload":
		return Codeload, p[1] + "/" + p[2], p[4]
	}
	name, rest, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	if strings.HasPrefix(rest, "info/refs") {
		return Refs, name, rest
	}
	if r.Header.Get("Content-Encoding") == "" && r.ContentLength >= 0 {
		// git asks for the list of references by the same address as for packs.
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		r.Body = struct {
			*bytes.Buffer
			nothing
		}{&body, nothing{}}
		if bytes.Contains(body.Bytes(), []byte("command=ls-refs")) {
			return Refs, name, rest
		}
	}
	return Pack, name, rest
}

type nothing struct{}

func (nothing) Close() error { return nil }

func (s *Server) backend(w http.ResponseWriter, r *http.Request) {
	h := &cgi.Handler{
		Path: s.git, Args: []string{"http-backend"}, Dir: s.root, Stderr: &bytes.Buffer{},
		Env: []string{
			"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_CONFIG_GLOBAL=" + filepath.Join(s.root, "gitconfig"), "GIT_PROTOCOL=" + r.Header.Get("Git-Protocol"),
		},
	}
	h.ServeHTTP(w, r)
}

func (s *Server) archive(w http.ResponseWriter, r *http.Request, repo *Repo, id string) {
	prefix := strings.ReplaceAll(repo.name, "/", "-") + "-" + id[:min(7, len(id))] + "/"
	cmd := exec.CommandContext(r.Context(), s.git, "archive", "--format=tar", "--prefix="+prefix, "--end-of-options", id)
	cmd.Dir = repo.Dir()
	cmd.Env = []string{"GIT_DIR=" + repo.Dir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(s.root, "gitconfig")}
	tar, err := cmd.Output()
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-gzip")
	gz := gzip.NewWriter(w)
	gz.Comment = fmt.Sprintf("archive %d", s.Count(Codeload))
	_, _ = gz.Write(tar)
	_ = gz.Close()
}
