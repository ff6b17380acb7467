package providerd

import (
	"strings"
	"testing"
)

// TestDoctorGitHosts: a git host without TLS serves, and is told of.
func TestDoctorGitHosts(t *testing.T) {
	c := SourceConfig{GitHub: "http://git.internal:3000", GitHubAPI: "https://git.internal/api", GitLab: "http://lab.internal"}
	got := checkGitHosts(c)
	if len(got) != 2 || !got[0].OK || !strings.Contains(got[0].Found, "--git-github-url http://git.internal:3000") || !strings.Contains(got[1].Found, "--git-gitlab-url") || got[1].Do == "" {
		t.Errorf("got %+v", got)
	}
	if got := checkGitHosts(SourceConfig{}); got != nil {
		t.Errorf("got %+v", got)
	}
	if f := c.faults(); len(f) != 0 {
		t.Errorf("got %v", f)
	}
	// The URL is in statements, and has one form there.
	for _, url := range []string{"http://Git.internal", "ftp://git.internal", "https://u@git.internal", "https://git.internal/?x"} {
		if f := (SourceConfig{GitLab: url}).faults(); len(f) != 1 || f[0].Field != "git-gitlab-url" {
			t.Errorf("%s: got %v", url, f)
		}
	}
}
