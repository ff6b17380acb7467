package e2e

import (
	"strings"
	"testing"
)

// TestDeployFromGitRuntimes deploys programs from commits over libp2p, and an app's
// user finds the commit from its address.
func TestDeployFromGitRuntimes(t *testing.T) {
	d := builder(t)
	pub := d.w.Publisher("publisher")
	pol := pub.Policy(d.Provider)
	for _, app := range []struct{ name, want string }{
		{"flask", "hello from flask"}, {"go", "hello from go"}, {"site", "hello from a site"},
	} {
		t.Run(app.name, func(t *testing.T) {
			dir, commit := d.w.Repository("repos/"+app.name, sourcesDir+app.name, nil)
			url := strings.TrimSpace(pub.Must("deploy", "--git", "file://"+dir, "--provider", d.Addr(), "--policy", pol).Stdout)
			if got := d.app(url); !strings.Contains(got, app.want) || !strings.HasSuffix(got, " 200") {
				t.Errorf("it answers %q", got)
			}
			if chain := pub.Must("verify", url, "--dial", d.Info.Ingress, "--policy", pol).Stdout; !strings.Contains(chain, "commit "+commit) {
				t.Errorf("its chain is\n%s", chain)
			}
			pub.Must("delete", app.name)
		})
	}
}
