package git

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"apocryph/manifest/slug"
)

// TestPinHolds: git goes to the pinned address, whatever a name leads to, and not on
// to where it is sent.
func TestPinHolds(t *testing.T) {
	var came, elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came.Add(1)
		http.Redirect(w, r, other.URL+r.URL.String(), http.StatusFound)
	}))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	home := t.TempDir()
	text := gitconfig("http://name.invalid:"+port+"/x", "name.invalid:"+port+":127.0.0.1", slug.Git, nil)
	if err := os.WriteFile(filepath.Join(home, "gitconfig"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "ls-remote", "http://name.invalid:"+port+"/x")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(home, "gitconfig"), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err == nil || came.Load() == 0 || elsewhere.Load() != 0 {
		t.Errorf("%v: %s\n%d requests came, %d went on", err, out, came.Load(), elsewhere.Load())
	}
}
