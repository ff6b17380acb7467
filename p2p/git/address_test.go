package git_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
)

// TestPrivateHosts: nobody reaches this machine's network by naming a host in it, or
// a name that leads there.
func TestPrivateHosts(t *testing.T) {
	s := gittest.New(t)
	names := map[string]string{"rebound.example": "10.0.0.7", "both.example": "140.82.112.3 127.0.0.1", "allowed.example": "127.0.0.1"}
	looked := 0
	f := newFetcher(t, s, func(c *git.Config) {
		c.AllowHosts = []string{"allowed.example:1"}
		c.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
			looked++
			if a, err := netip.ParseAddr(host); err == nil {
				return []netip.Addr{a}, nil
			}
			if names[host] == "" {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: host == "nowhere.example"}
			}
			var all []netip.Addr
			for _, a := range strings.Fields(names[host]) {
				all = append(all, netip.MustParseAddr(a))
			}
			return all, nil
		}
	})
	for repo, c := range map[string]struct {
		code   status.Code
		reason string
	}{
		"127.0.0.1/x":         {status.PermissionDenied, git.ReasonHost},
		"[::1]:8443/x":        {status.PermissionDenied, git.ReasonHost},
		"169.254.169.254/x":   {status.PermissionDenied, git.ReasonHost},
		"10.1.2.3:8443/x":     {status.PermissionDenied, git.ReasonHost},
		"rebound.example/x":   {status.PermissionDenied, git.ReasonHost},
		"both.example/x":      {status.PermissionDenied, git.ReasonHost},
		"allowed.example/x":   {status.PermissionDenied, git.ReasonHost},
		"nowhere.example/x":   {status.InvalidArgument, git.ReasonRepository},
		"broken.example/x":    {status.Unavailable, git.ReasonUnavailable},
		"allowed.example:1/x": {status.Unavailable, git.ReasonUnavailable},
	} {
		_, err := f.Resolve(t.Context(), git.Want{Slug: slug.Slug{Host: slug.Git, Repo: repo}})
		if status.CodeOf(err) != c.code || status.ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v (%s %s), want %s %s", repo, err, status.CodeOf(err), status.ReasonOf(err), c.code, c.reason)
		}
	}
	// A submodule is named by a stranger, too.
	r := s.Repo("acme/app")
	r.Commit("main", map[string]string{".gitmodules": "[submodule \"x\"]\n\tpath = x\n\turl = https://rebound.example/x\n"}, gittest.Submodule("x", "1111111111111111111111111111111111111111"))
	res, err := f.Resolve(t.Context(), git.Want{Slug: r.Slug("")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Fetch(t.Context(), git.Want{Slug: r.Slug(""), Submodules: true}, res, newTree(t), nil)
	if status.ReasonOf(err) != git.ReasonHost {
		t.Errorf("a submodule in a private network: %v", err)
	}
	if looked == 0 {
		t.Error("nobody was asked for addresses")
	}
}
