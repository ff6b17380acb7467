package git_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
)

// TestI6Surroundings: neither locale, time zone and umask of the process nor the git
// configuration of who started it change a file that is fetched.
func TestI6Surroundings(t *testing.T) {
	s := gittest.New(t)
	r := s.Repo("acme/app")
	files := map[string]string{"lines": "a\nb\n", "dos": "a\r\nb\r\n", "İı": "Iiİı", "bin/run": "#!/bin/sh\n"}
	want := map[string]string{"lines": "a\nb\n", "dos": "a\r\nb\r\n", "İı": "Iiİı", "bin/run": "+x #!/bin/sh\n"}
	r.Commit("main", files, gittest.Program("bin/run"))
	config := filepath.Join(t.TempDir(), "gitconfig")
	for _, archive := range []bool{true, false} {
		for _, tt := range []struct {
			umask int
			env   map[string]string
		}{
			{0o022, map[string]string{"LC_ALL": "C", "TZ": "UTC"}},
			{0o077, map[string]string{
				"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "GIT_CONFIG_GLOBAL": config,
				"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "core.autocrlf", "GIT_CONFIG_VALUE_0": "true", "GIT_CONFIG_KEY_1": "core.fileMode", "GIT_CONFIG_VALUE_1": "false",
			}},
		} {
			if !archive {
				s.Fail(404, gittest.Tarball)
			}
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			old := syscall.Umask(tt.umask)
			out, got, err := fetch(t, newFetcher(t, s), git.Want{Slug: r.Slug("main")})
			syscall.Umask(old)
			if err != nil || (out.Method == git.MethodArchive) != archive {
				t.Fatalf("%+v, %v", out, err)
			}
			equal(t, got, want)
		}
	}
}
